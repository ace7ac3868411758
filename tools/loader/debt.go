package loader

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"strconv"
	"time"
)

// debtMetric is the gauge that says how many bytes the indexes of a node have
// still to compact; one sample per index.
const debtMetric = "troupe_index_compaction_debt_bytes"

// runningMetric is the gauge that says how many compactions run; one sample per
// index. An index may estimate a debt for ever that it never finds worth paying:
// one in which nothing runs any more is at rest.
const runningMetric = "troupe_index_compactions_running"

const (
	// debtPoll is the time between two looks. A scrape costs the server about a
	// millisecond of CPU: 0.5% of one core while waiting.
	debtPoll = 200 * time.Millisecond
	// debtLooks is how many looks in a row must find the debt paid: between two
	// compactions a gauge may show less than there is.
	debtLooks = 5
	// maxMetricsBytes bounds what a server may answer to a scrape.
	maxMetricsBytes = 16 << 20
)

// Debt is the work that a server has put off: compaction of its indexes. A PUT
// that is answered has not cost all that it will; so a load that writes is
// followed by a wait until the debt is paid, and its CPU counts for the load.
type Debt struct {
	URL       string        // of the metrics, in Prometheus's text format
	TLS       *tls.Config   // how an https URL is verified; nil: by the system's authorities
	Threshold int64         // bytes; a debt of no more counts as paid
	Patience  time.Duration // how long to wait at most
}

// DebtState says how waiting for a debt ended.
type DebtState string

const (
	// DebtPaid: the debt was at or below the threshold.
	DebtPaid DebtState = "drained"
	// DebtLeft: it was not within the patience.
	DebtLeft DebtState = "not drained in time"
	// DebtUnknown: the server does not say.
	DebtUnknown DebtState = "not reported"
)

// Wait looks until the debt is paid, and returns how that ended and how long it
// took. A server that does not report its debt is not waited for.
func (d *Debt) Wait(ctx context.Context) (DebtState, time.Duration) {
	began := time.Now()
	poll := time.NewTicker(debtPoll)
	defer poll.Stop()
	for looks := 0; ; {
		debt, atRest, err := d.read(ctx)
		if err != nil {
			return DebtUnknown, time.Since(began)
		}
		if debt > d.Threshold && !atRest {
			looks = 0
		} else if looks++; looks == debtLooks {
			return DebtPaid, time.Since(began)
		}
		if time.Since(began) > d.Patience {
			return DebtLeft, time.Since(began)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return DebtLeft, time.Since(began)
		}
	}
}

// read asks the server for its debt in bytes, and whether nothing pays it now.
func (d *Debt) read(ctx context.Context) (debt int64, atRest bool, err error) {
	status, body, err := question{method: "GET", url: d.URL, tls: d.TLS, limit: maxMetricsBytes}.ask(ctx)
	if err != nil {
		return 0, false, err
	}
	if status != 200 {
		return 0, false, fmt.Errorf("%s: status %d", d.URL, status)
	}
	sum, found := sumMetric(body, debtMetric)
	if !found {
		return 0, false, fmt.Errorf("%s: no %s", d.URL, debtMetric)
	}
	running, told := sumMetric(body, runningMetric)
	return int64(sum), told && running == 0, nil
}

// sumMetric adds the samples of one metric in Prometheus's text format: lines of
// name, optionally labels in braces, value, optionally a time. Labels may hold
// anything, so the value is looked for behind the last brace.
func sumMetric(text []byte, name string) (sum float64, found bool) {
	for line := range bytes.Lines(text) {
		rest, is := bytes.CutPrefix(line, []byte(name))
		if !is || len(rest) == 0 || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		if i := bytes.LastIndexByte(rest, '}'); i >= 0 {
			rest = rest[i+1:]
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		value, err := strconv.ParseFloat(string(fields[0]), 64)
		if err != nil {
			continue
		}
		sum += value
		found = true
	}
	return sum, found
}
