package nodes

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// AccessLog are the arguments with which each node writes what it was asked, for
// Accesses.
func AccessLog() []string {
	return []string{"--access-log", accessLog, "--access-log-format", "json"}
}

// accessLog is relative to the directory in which a node runs, which is its own.
const accessLog = "access.log"

// Access is one request as the node that was asked wrote it down.
type Access struct {
	Listener  string `json:"listener"`
	Operation string `json:"operation"`
	Method    string `json:"method"`
	URI       string `json:"uri"`
	Status    int    `json:"status"`
	UserAgent string `json:"user_agent"`
	Requester string `json:"requester"`
}

// Accesses returns what a node that was started with AccessLog was asked, in the order of
// its answers. The last lines of a node that still runs may be missing.
func (c *Cluster) Accesses(number int) ([]Access, error) {
	file, err := os.Open(filepath.Join(c.dir(number), accessLog))
	if err != nil {
		return nil, fmt.Errorf("nodes.Accesses: %w", err)
	}
	defer file.Close()
	var all []Access
	for decoder := json.NewDecoder(bufio.NewReader(file)); ; {
		var a Access
		if err := decoder.Decode(&a); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("nodes.Accesses: %w", err)
		}
		all = append(all, a)
	}
}

// dir is the directory of a node.
func (c *Cluster) dir(number int) string {
	return filepath.Join(c.config.Dir, fmt.Sprint("n", number))
}
