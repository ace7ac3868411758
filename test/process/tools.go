package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ToolsPath returns a value for PATH that finds the programs which `make tools`
// installed in the module's cache (a virtual environment with boto3, aws and
// pytest) before those of the machine.
func ToolsPath() (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(root, ".cache", "tools", "venv", "bin")
	return tools + string(filepath.ListSeparator) + os.Getenv("PATH"), nil
}

// ModuleRoot returns the nearest directory at or above the working directory
// that holds a go.mod.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("process.ModuleRoot: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("process.ModuleRoot: no go.mod at or above the working directory: %w", os.ErrNotExist)
		}
		dir = parent
	}
}

// LookTool finds a program on a PATH as ToolsPath returns it.
func LookTool(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		program := filepath.Join(dir, name)
		if found, err := exec.LookPath(program); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("process.LookTool: %s: %w (run `make tools`)", name, exec.ErrNotFound)
}

// NoSkipVariable names the environment variable that turns every skip for the
// want of something into a failure; CI sets it to 1.
const NoSkipVariable = "TROUPE_NO_SKIP"

// Skipper is what Missing needs of a *testing.T.
type Skipper interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Missing ends a test that cannot run here, for the reason that format and args
// give: it skips it, or fails it when NoSkipVariable is 1. It does not return.
func Missing(t Skipper, format string, args ...any) {
	t.Helper()
	if os.Getenv(NoSkipVariable) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIPPED: "+format, args...)
}
