package mountpath

import (
	"errors"
	"io"
	"regexp"
	"sync"
)

var _ io.Reader = (*io.LimitedReader)(nil)

var errGood = errors.New("a sentinel")

var errReplaced = errors.New("no sentinel") // want "variable"

var table = [...]string{"a", "b"}

var grows = []string{"a"} // want "variable"

var patched = map[string]int{"a": 1} // want "variable"

var counter int // want "variable"

var lock sync.Mutex // want "variable"

var pattern = regexp.MustCompile(`a`)

// Exported tables can be changed by others.
var Exported = []string{"a"} // want "variable"

var forgiven int

func use() {
	errReplaced = nil
	grows = append(grows, "b")
	patched["b"] = 2
	local := table
	local[0] = "c"
}
