package loader

import (
	"fmt"
	"math"
	"time"
)

// Comparison sets two contenders side by side: what they did in the same pairs, at
// the same number of connections.
type Comparison struct {
	Who         string           `json:"who"`
	Against     string           `json:"against"`
	Load        string           `json:"load"` // mix and sizes
	Connections int              `json:"connections"`
	Pairs       int              `json:"pairs"` // in which both ran to their end
	Figures     []ComparedFigure `json:"figures"`
}

// ComparedFigure is one line of a comparison.
type ComparedFigure struct {
	Name   string  `json:"figure"`
	First  *Spread `json:"first"`  // over the pairs; nil: not measured
	Second *Spread `json:"second"` // of the one that is compared with; likewise
	Ratio  float64 `json:"ratio"`  // of the medians, first to second; 0: one of them is not there
	Wins   int     `json:"wins"`   // pairs in which the first was better
	Losses int     `json:"losses"` // pairs in which the second was
	Winner string  `json:"winner"` // empty: the pairs do not tell

	kind figureKind
}

// figureKind is one of the figures that are compared.
type figureKind struct {
	name   string
	of     func(*Result) (float64, bool)
	higher bool                 // is better
	format func(float64) string // for people
}

// figureKinds returns the figures that are compared, the one that counts first.
func figureKinds() []figureKind {
	inTime := func(nanos float64) string { return short(time.Duration(nanos)) }
	return []figureKind{
		{"server CPU µs/op", (*Result).ServerMicros, false, func(v float64) string { return fmt.Sprintf("%.1f", v) }},
		{"ops/s", func(r *Result) (float64, bool) { return r.OpsPerSecond(), true }, true, func(v float64) string { return fmt.Sprintf("%.0f", v) }},
		{"p50", func(r *Result) (float64, bool) { return float64(r.Latency.P50), r.Ops > 0 }, false, inTime},
		{"p99", func(r *Result) (float64, bool) { return float64(r.Latency.P99), r.Ops > 0 }, false, inTime},
	}
}

// newComparison compares two contenders over the pairs in which both ran to the
// end; false if there is none.
func newComparison(runs []namedResult, who, against string, connections int) (Comparison, bool) {
	c := Comparison{Who: who, Against: against, Connections: connections}
	var first, second []*Result
	for _, a := range runs {
		for _, b := range runs {
			if a.Who == who && b.Who == against && a.Pair == b.Pair && mayCompare(a.Result, connections) && mayCompare(b.Result, connections) {
				first, second = append(first, a.Result), append(second, b.Result)
			}
		}
	}
	if len(first) == 0 {
		return c, false
	}
	c.Pairs, c.Load = len(first), first[0].Mix+" "+first[0].Sizes
	for _, kind := range figureKinds() {
		if figure := compareFigure(kind, first, second); figure.First != nil || figure.Second != nil {
			switch {
			case figure.decided(c.Pairs) > 0:
				figure.Winner = who
			case figure.decided(c.Pairs) < 0:
				figure.Winner = against
			}
			c.Figures = append(c.Figures, figure)
		}
	}
	return c, true
}

// mayCompare reports whether a run has figures worth comparing.
func mayCompare(r *Result, connections int) bool {
	return r.Connections == connections && !r.Interrupted && r.GaveUp == ""
}

// compareFigure compares one figure over pairs of runs.
func compareFigure(kind figureKind, first, second []*Result) ComparedFigure {
	figure := ComparedFigure{Name: kind.name, kind: kind}
	var a, b []float64
	for i := range first {
		x, known := kind.of(first[i])
		if known {
			a = append(a, x)
		}
		y, alsoKnown := kind.of(second[i])
		if alsoKnown {
			b = append(b, y)
		}
		switch {
		case !known || !alsoKnown || x == y:
		case (x > y) == kind.higher:
			figure.Wins++
		default:
			figure.Losses++
		}
	}
	if len(a) > 0 {
		spread := spreadOf(a)
		figure.First = &spread
	}
	if len(b) > 0 {
		spread := spreadOf(b)
		figure.Second = &spread
	}
	if len(a) > 0 && len(b) > 0 && figure.Second.Median != 0 {
		figure.Ratio = figure.First.Median / figure.Second.Median
	}
	return figure
}

const (
	// signPairs is from how many pairs on the signs of the differences can tell by
	// themselves: six of six come about by chance once in 32 times.
	signPairs = 6
	// verdictPairs is from how many pairs on anything is told. That four figures of
	// one lie below all four of the other comes about by chance twice in 70 times,
	// with three pairs twice in 20. One pair of equal servers, on a machine with
	// neighbours, differs by a tenth and more.
	verdictPairs = 4
	// signLevel is how often chance may name a winner, figure by figure.
	signLevel = 0.05
)

// decided says who is better: 1 the first, -1 the second, 0 when the pairs do not
// tell. From six pairs on it is the two-sided sign test at 5%; with four or five
// the spreads must not overlap; with fewer nobody is.
func (f ComparedFigure) decided(pairs int) int {
	if f.First == nil || f.Second == nil || f.Wins == f.Losses || pairs < verdictPairs {
		return 0
	}
	verdict := 1
	if f.Wins < f.Losses {
		verdict = -1
	}
	told := f.First.Low > f.Second.High || f.Second.Low > f.First.High
	if pairs >= signPairs {
		told = signTest(f.Wins, f.Losses) <= signLevel
	}
	if !told {
		return 0
	}
	return verdict
}

// signTest returns how likely it is that of fair coins so many, or more, fall on
// one side: twice the tail of the binomial distribution, at most 1.
func signTest(wins, losses int) float64 {
	n := wins + losses
	tail := 0.0
	for k := max(wins, losses); k <= n; k++ {
		ways, _ := math.Lgamma(float64(n) + 1)
		chosen, _ := math.Lgamma(float64(k) + 1)
		left, _ := math.Lgamma(float64(n-k) + 1)
		tail += math.Exp(ways - chosen - left - float64(n)*math.Ln2)
	}
	return min(2*tail, 1)
}

// writeComparisons prints a table for each comparison.
func writeComparisons(to sheet, comparisons []Comparison) error {
	for _, c := range comparisons {
		pairs, undecided := fmt.Sprintf("medians of %d pairs [lowest, highest]", c.Pairs), "too close to call"
		if c.Pairs < verdictPairs {
			undecided = fmt.Sprintf("from --pairs %d on", verdictPairs)
		}
		if c.Pairs == 1 {
			pairs = "one pair"
		}
		if err := to.text("\n%s, %d connections: %s and %s, %s\n", c.Load, c.Connections, c.Who, c.Against, pairs); err != nil {
			return err
		}
		t := table{head: []string{"figure", c.Who, c.Against, "ratio", "better"}}
		for _, figure := range c.Figures {
			ratio, better := "-", "-"
			if figure.Ratio != 0 {
				ratio, better = fmt.Sprintf("%.3g", figure.Ratio), undecided
			}
			if figure.Winner != "" {
				better = fmt.Sprintf("%s, in %d of %d", figure.Winner, max(figure.Wins, figure.Losses), c.Pairs)
			}
			t.add(figure.Name, figure.show(figure.First), figure.show(figure.Second), ratio, better)
		}
		if err := to.table(t); err != nil {
			return err
		}
	}
	return nil
}

// show writes a figure for people.
func (f ComparedFigure) show(s *Spread) string {
	switch format := f.kind.format; {
	case s == nil:
		return "-"
	case s.Low == s.High:
		return format(s.Median)
	default:
		return fmt.Sprintf("%s [%s, %s]", format(s.Median), format(s.Low), format(s.High))
	}
}
