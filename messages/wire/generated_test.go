package wire

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The code is what `make proto` makes of the messages: neither was changed without the
// other. The generators are not needed to see it.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	sums, err := os.Open("generated.sum")
	if err != nil {
		t.Fatal(err)
	}
	defer sums.Close()
	said := map[string]string{}
	for lines := bufio.NewScanner(sums); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		said[name] = sum
	}
	for _, pattern := range []string{"*.proto", "*.pb.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v: %v", pattern, names, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if is := fmt.Sprintf("%x", sha256.Sum256(text)); is != said[name] {
				t.Errorf("%s is not what generated.sum says: run `make proto`", name)
			}
			delete(said, name)
		}
	}
	for name := range said {
		t.Errorf("%s is in generated.sum and nowhere else: run `make proto`", name)
	}
}
