package consul

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/troupe-storage/troupe/test/process"
)

// Binary returns the program: the one on PATH, or the one that `make consul` built in
// the cache of this clone.
func Binary() (string, error) {
	if program, err := exec.LookPath("consul"); err == nil {
		return filepath.Abs(program)
	}
	root, err := process.ModuleRoot()
	if err != nil {
		return "", fmt.Errorf("consul.Binary: %w", err)
	}
	program, err := exec.LookPath(filepath.Join(root, ".cache", "tools", "consul"))
	if err != nil {
		return "", fmt.Errorf("consul.Binary: %w (run `make consul`)", err)
	}
	return program, nil
}
