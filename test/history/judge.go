package history

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// judgeWithin bounds the search for one key; what is not decided by then is said to be.
const judgeWithin = 20 * time.Second

// Verdict is what became of the histories of keys.
type Verdict struct {
	// Wrong says what no register could have done; empty: nothing.
	Wrong string
	// Undecided are the keys for which the search took too long.
	Undecided []string
	// Keys is how many were judged, Operations of how many calls.
	Keys, Operations int
}

// Judge looks whether every key behaved like one register. Absent values are empty; a key
// is absent at first.
func (h *History) Judge() Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := map[string][]*Call{}
	for _, c := range h.calls {
		keys[c.key] = append(keys[c.key], c)
	}
	var v Verdict
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		operations := linear(keys[name])
		v.Keys++
		v.Operations += len(operations)
		switch porcupine.CheckOperationsTimeout(register(), operations, judgeWithin) {
		case porcupine.Illegal:
			v.Wrong += fmt.Sprintf("%s is not linearizable:\n%s\n", name, lines(keys[name]))
		case porcupine.Unknown:
			v.Undecided = append(v.Undecided, name)
		}
	}
	return v
}

func lines(calls []*Call) string {
	var text strings.Builder
	for _, c := range calls {
		text.WriteString(c.line() + "\n")
	}
	return text.String()
}

// register is what a key is to its clients: one value or none.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			op, answer, value := input.(Op), output.(Answer), state.(string)
			switch op.Do {
			case Get:
				return answer.Value == value, value
			case Create:
				if answer.Outcome != Unknown && (answer.Outcome == Done) != (value == "") {
					return false, value
				}
				if value != "" {
					return true, value
				}
			}
			return true, op.Value // a delete has none
		},
	}
}

// linear makes porcupine's operations of one key's calls. What was refused did nothing.
// What has no known outcome may happen at any time from its beginning on; such a put of a
// value that nobody saw is left out where nothing else can depend on it, for the sake of
// the search: only creates look at a value without telling which.
func linear(calls []*Call) []porcupine.Operation {
	seen, creates := map[string]bool{}, false
	for _, c := range calls {
		if c.ended > 0 && c.op.Do == Get {
			seen[c.answer.Value] = true
		}
		creates = creates || c.op.Do == Create
	}
	var operations []porcupine.Operation
	for i, c := range calls {
		answer, end := c.answer, int64(c.ended)
		if c.ended == 0 {
			answer.Outcome = Unknown
		}
		switch {
		case answer.Outcome == Refused, answer.Outcome == Unknown && c.op.Do == Get:
			continue
		case answer.Outcome == Unknown && c.op.Value != "" && !seen[c.op.Value] && !creates:
			continue
		case answer.Outcome == Unknown:
			end = math.MaxInt64
		}
		operations = append(operations, porcupine.Operation{ClientId: i, Input: c.op, Call: int64(c.begun), Output: answer, Return: end})
	}
	return operations
}
