package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BinaryVariable names the environment variable that holds the path of a
// binary that is already built; without it Build compiles one.
const BinaryVariable = "TROUPE_BINARY"

// Build compiles cmd/troupe of the module around the working directory into
// dir and returns the path of the binary. When BinaryVariable is set, it
// compiles nothing and returns what the variable says.
func Build(ctx context.Context, dir string) (string, error) {
	if binary := os.Getenv(BinaryVariable); binary != "" {
		if _, err := os.Stat(binary); err != nil {
			return "", fmt.Errorf("process.Build: %s: %w", BinaryVariable, err)
		}
		return binary, nil
	}
	binary := filepath.Join(dir, "troupe")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "github.com/troupe-storage/troupe/cmd/troupe")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("process.Build: %w\n%s", err, said)
	}
	return binary, nil
}
