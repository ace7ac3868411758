package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-storage/troupe/objects/errs"
)

// parseSteps reads numbers of connections, which rise: "1,4,16,64".
func parseSteps(s string) ([]int, error) {
	if s == "" {
		return nil, nil
	}
	var steps []int
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || n > maxConnections {
			return nil, fmt.Errorf("step %q of %q is not a number of connections, 1 to %d", part, s, maxConnections)
		}
		if len(steps) > 0 && n <= steps[len(steps)-1] {
			return nil, fmt.Errorf("the steps %q do not rise", s)
		}
		if steps = append(steps, n); len(steps) > maxSteps {
			return nil, fmt.Errorf("more than %d steps", maxSteps)
		}
	}
	return steps, nil
}

// maxSteps bounds the steps of one session.
const maxSteps = 64

// connectionSteps returns the numbers of connections that the load is driven with.
func (s *settings) connectionSteps() []int {
	if len(s.steps) > 0 {
		return s.steps
	}
	return []int{s.load.withDefaults().Connections}
}

// inTurn returns the order of one pair. Where two servers are compared it is
// reversed in every second pair, so that what changes on the machine meanwhile is
// not always the later one's.
func inTurn(contenders []contender, pair int, rivals bool) []*contender {
	var order []*contender
	for i := range contenders {
		order = append(order, &contenders[i])
	}
	if rivals && pair%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// runLoads runs the load that the flags describe, against all contenders in turns:
// in every pair, at every step, each once.
func (n *session) runLoads(ctx context.Context, environment Environment) error {
	const op errs.Op = "bench"
	contenders := append(n.bareContenders(), n.servers...)
	for i := range contenders {
		if err := n.makeReady(ctx, &contenders[i]); err != nil {
			return errs.E(op, contenders[i].who, err)
		}
	}
	var runs []namedResult
	var failed []error
	for pair := range n.pairs {
		for _, connections := range n.connectionSteps() {
			for _, c := range inTurn(contenders, pair, len(n.servers) > 1) {
				if ctx.Err() != nil {
					break
				}
				result, err := n.turn(ctx, c, connections)
				if err != nil {
					return errs.E(op, c.who, err)
				}
				if result.Failed() != nil {
					failed = append(failed, fmt.Errorf("%s: %w", c.who, result.Failed()))
				}
				runs = append(runs, namedResult{Who: c.who, Pair: pair + 1, Result: result})
			}
		}
	}
	d := document{Environment: environment, Runs: runs, Comparisons: n.compare(contenders, runs)}
	to := newSheet(n.out)
	if err := errors.Join(writeRuns(to, runs), writeComparisons(to, d.Comparisons), n.writeJSON(d), n.writePlot(d)); err != nil {
		return errs.E(op, errs.IO, err)
	}
	if n.cleanup && ctx.Err() == nil {
		for _, c := range contenders {
			if !c.bare {
				failed = append(failed, n.clean(ctx, c))
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return errs.E(op, errs.Internal, err)
	}
	return nil
}

// compare compares the server with every other contender, at every step.
func (n *session) compare(contenders []contender, runs []namedResult) []Comparison {
	var all []Comparison
	for _, connections := range n.connectionSteps() {
		for _, c := range contenders {
			if c.who == n.server.name {
				continue
			}
			if comparison, ok := newComparison(runs, n.server.name, c.who, connections); ok {
				all = append(all, comparison)
			}
		}
	}
	return all
}
