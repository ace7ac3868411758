package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/troupe-storage/troupe/test/process"
)

// tools drives clients against a node. What it tells them is what a user would:
// an endpoint, a region, a pair of keys, and a little more concurrency.
type tools struct {
	scripts string   // folder of the Python files
	path    string   // PATH on which the programs are
	env     []string // environment of the clients
}

// neededPrograms are the programs that the demo runs.
func neededPrograms() []string { return []string{"python3", "aws", "rclone"} }

func newTools(dir string, node *process.Node) (tools, error) {
	root, err := process.ModuleRoot()
	if err != nil {
		return tools{}, err
	}
	path, err := process.ToolsPath()
	if err != nil {
		return tools{}, err
	}
	for _, program := range neededPrograms() {
		if _, err := process.LookTool(path, program); err != nil {
			return tools{}, err
		}
	}
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return tools{}, err
	}
	config := filepath.Join(home, "aws-config")
	if err := os.WriteFile(config, []byte("[default]\ns3 =\n  addressing_style = path\n"), 0o644); err != nil {
		return tools{}, err
	}
	env := append(node.Environment(),
		"PATH="+path,
		"HOME="+home,
		"LANG=C.UTF-8",
		"PYTHONDONTWRITEBYTECODE=1",
		"AWS_ENDPOINT_URL=http://"+node.S3,
		"AWS_ACCESS_KEY_ID="+process.AccessKey,
		"AWS_SECRET_ACCESS_KEY="+process.SecretKey,
		"AWS_DEFAULT_REGION=us-east-1",
		"AWS_CONFIG_FILE="+config,
		"RCLONE_CONFIG="+filepath.Join(home, "rclone.conf"),
		"RCLONE_CONFIG_T_TYPE=s3",
		"RCLONE_CONFIG_T_PROVIDER=Other",
		"RCLONE_CONFIG_T_ENDPOINT=http://"+node.S3,
		"RCLONE_CONFIG_T_ACCESS_KEY_ID="+process.AccessKey,
		"RCLONE_CONFIG_T_SECRET_ACCESS_KEY="+process.SecretKey,
		"RCLONE_CONFIG_T_REGION=us-east-1",
		"RCLONE_TRANSFERS=16",
	)
	return tools{scripts: filepath.Join(root, "test", "demo"), path: path, env: env}, nil
}

// command prepares a program; its output is the caller's.
func (t tools) command(ctx context.Context, program string, args ...string) (*exec.Cmd, error) {
	found, err := process.LookTool(t.path, program)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, found, args...)
	command.Env = t.env
	return command, nil
}

// do runs a program to its end; an error carries what it said.
func (t tools) do(ctx context.Context, program string, args ...string) error {
	command, err := t.command(ctx, program, args...)
	if err != nil {
		return err
	}
	said, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, said[max(0, len(said)-4096):])
	}
	return nil
}

func (t tools) python(ctx context.Context, script string, args ...string) error {
	return t.do(ctx, "python3", append([]string{filepath.Join(t.scripts, script)}, args...)...)
}

func (t tools) makeBucket(ctx context.Context, client, bucket string) error {
	switch client {
	case "aws":
		return t.do(ctx, "aws", "s3", "mb", "s3://"+bucket)
	case "rclone":
		return t.do(ctx, "rclone", "mkdir", "t:"+bucket)
	default:
		return t.python(ctx, "tree.py", "bucket", bucket)
	}
}

// upload carries a directory into a bucket.
func (t tools) upload(ctx context.Context, client, dir, bucket string) error {
	switch client {
	case "aws":
		return t.do(ctx, "aws", "s3", "sync", "--only-show-errors", dir, "s3://"+bucket)
	case "rclone":
		return t.do(ctx, "rclone", "sync", dir, "t:"+bucket)
	default:
		return t.python(ctx, "tree.py", "up", bucket, dir)
	}
}

// download carries a bucket into a directory.
func (t tools) download(ctx context.Context, client, bucket, dir string) error {
	switch client {
	case "aws":
		return t.do(ctx, "aws", "s3", "sync", "--only-show-errors", "s3://"+bucket, dir)
	case "rclone":
		return t.do(ctx, "rclone", "sync", "t:"+bucket, dir)
	default:
		return t.python(ctx, "tree.py", "down", bucket, dir)
	}
}

// putInOneRequest puts a file without splitting it.
func (t tools) putInOneRequest(ctx context.Context, path, bucket, name string) error {
	return t.do(ctx, "aws", "s3api", "put-object", "--bucket", bucket, "--key", name, "--body", path)
}
