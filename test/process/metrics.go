package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Metrics are a node's metrics at one moment: values by name, with labels as
// Prometheus writes them.
type Metrics map[string]float64

// Sum returns the sum of a metric over its labels.
func (m Metrics) Sum(name string) float64 {
	var sum float64
	for key, value := range m {
		if bare, _, _ := strings.Cut(key, "{"); bare == name {
			sum += value
		}
	}
	return sum
}

// Metrics asks the node for its metrics.
func (n *Node) Metrics(ctx context.Context) (Metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL(n.Native)+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("process.Metrics: %w", err)
	}
	client, err := n.client()
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("process.Metrics: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("process.Metrics: %s", answer.Status)
	}
	metrics := make(Metrics)
	for lines := bufio.NewScanner(answer.Body); ; {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return nil, fmt.Errorf("process.Metrics: %w", err)
			}
			break
		}
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("process.Metrics: %q: %w", line, err)
		}
		metrics[line[:at]] = value
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return metrics, nil
}

// awaitWithin bounds Await: an order of magnitude above what anything of a node
// is allowed to take.
const awaitWithin = 60 * time.Second

// Await asks for the metrics again and again until they are as wanted, and fails,
// saying what was awaited, when that does not come.
func (n *Node) Await(ctx context.Context, what string, wanted func(Metrics) bool) error {
	ctx, cancel := context.WithTimeout(ctx, awaitWithin)
	defer cancel()
	probe := time.NewTicker(20 * time.Millisecond)
	defer probe.Stop()
	var last Metrics
	for {
		metrics, err := n.Metrics(ctx)
		if err == nil {
			last = metrics
			if wanted(metrics) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process.Await: %s did not come: %w; last error %v; last metrics: %v", what, ctx.Err(), err, last.Own())
		case <-probe.C:
		}
	}
}

// Own returns the metrics that are not about Go: those of Troupe, and what the
// process holds.
func (m Metrics) Own() Metrics {
	own := make(Metrics)
	for name, value := range m {
		if strings.HasPrefix(name, "troupe_") || strings.HasPrefix(name, "process_") || name == "go_goroutines" {
			own[name] = value
		}
	}
	return own
}

// ResidentPeak returns the most memory that the process ever had resident, in
// bytes (VmHWM of /proc/PID/status; Linux, proc(5)).
func (n *Node) ResidentPeak() (int64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(n.PID()) + "/status")
	if err != nil {
		return 0, fmt.Errorf("process.ResidentPeak: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("process.ResidentPeak: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("process.ResidentPeak: no VmHWM: %q", status)
}
