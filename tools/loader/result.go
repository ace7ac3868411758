package loader

import (
	"fmt"
	"time"
)

// Result is what came of a run.
type Result struct {
	Mix         string `json:"mix"`
	Sizes       string `json:"sizes"`
	Bucket      string `json:"bucket"`
	Class       string `json:"class"`         // durability that the receipts named; "mixed"; empty: none did
	TLS         string `json:"tls,omitempty"` // protocol and cipher, the cost of which is in the figures; empty: plain HTTP
	Connections int    `json:"connections"`
	Seed        uint64 `json:"seed"`

	Rate   float64 `json:"rate,omitempty"`    // operations begun per second; zero: as fast as answers came
	RampTo float64 `json:"ramp_to,omitempty"` // what the rate grew or fell to; zero: it stayed

	Ops     uint64        `json:"ops"`    // operations that were done
	Errors  uint64        `json:"errors"` // operations that were begun and failed
	Bytes   int64         `json:"bytes"`  // of objects and listings, by operations done
	Entries uint64        `json:"entries"`
	Elapsed time.Duration `json:"elapsed_nanos"` // to the last answer
	Latency Latency       `json:"latency"`

	Percentiles []Percentile `json:"percentiles"` // the whole distribution, rising
	Timeline    Timeline     `json:"timeline"`

	Operations []OperationResult `json:"operations"` // one for each kind asked for
	Failures   []Failure         `json:"failures,omitempty"`

	ServerKnown bool          `json:"server_known"` // the three figures of the server were measured
	ServerCPU   time.Duration `json:"server_cpu_nanos"`
	Resident    int64         `json:"resident_bytes"`      // after the run
	Peak        int64         `json:"peak_resident_bytes"` // since the server started
	ClientCPU   time.Duration `json:"client_cpu_nanos"`
	Debt        DebtState     `json:"debt,omitempty"`
	Drain       time.Duration `json:"drain_nanos,omitempty"` // how long the debt was waited for; its CPU is in ServerCPU

	Interrupted bool   `json:"interrupted,omitempty"` // it was cut short
	GaveUp      string `json:"gave_up,omitempty"`     // why it ended before its limit
}

// OperationResult is the part of a result that concerns one kind of operation.
type OperationResult struct {
	Operation string  `json:"operation"`
	Ops       uint64  `json:"ops"`
	Errors    uint64  `json:"errors"`
	Bytes     int64   `json:"bytes"`
	Entries   uint64  `json:"entries,omitempty"` // keys listed
	Latency   Latency `json:"latency"`
}

// gather merges what the workers counted.
func (r *run) gather(workers []*worker, elapsed time.Duration) *Result {
	result := &Result{
		Mix: r.load.Mix.String(), Sizes: r.load.Sizes.String(), Bucket: r.load.Bucket, Class: r.class(),
		Connections: r.load.Connections, Seed: r.load.Keys.Seed, Elapsed: elapsed,
		Rate: r.load.Rate, RampTo: r.load.RampTo,
	}
	all := newFigures()
	var failed failures
	for o := range operations {
		if !r.load.Mix.Has(Operation(o)) {
			continue
		}
		of := newFigures()
		for _, w := range workers {
			of.add(w.figures[o])
		}
		result.Operations = append(result.Operations, OperationResult{
			Operation: Operation(o).String(), Ops: of.done, Errors: of.failed,
			Bytes: of.bytes, Entries: of.entries, Latency: of.latency(),
		})
		all.add(of)
	}
	gaveUp := 0
	for _, w := range workers {
		failed.add(&w.failures)
		if w.gaveUp != nil {
			gaveUp++
			result.GaveUp = fmt.Sprintf("%d of %d connections could not be made again: %v", gaveUp, len(workers), w.gaveUp)
		}
	}
	if r.failures.Load() >= r.load.MaxFailures {
		result.GaveUp = fmt.Sprintf("more than %d operations failed", r.load.MaxFailures-1)
	}
	result.Ops, result.Errors, result.Bytes, result.Entries = all.done, all.failed, all.bytes, all.entries
	result.Latency, result.Failures = all.latency(), failed.list()
	result.Percentiles, result.Timeline = all.percentiles(), r.timeline.gather(elapsed)
	return result
}

// begun is how many operations were begun: what CPU is divided by.
func (r *Result) begun() uint64 { return r.Ops + r.Errors }

// OpsPerSecond is the rate of operations done.
func (r *Result) OpsPerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Ops) / r.Elapsed.Seconds()
}

// MegabytesPerSecond is the rate of bytes in 10⁶ bytes per second.
func (r *Result) MegabytesPerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Bytes) / 1e6 / r.Elapsed.Seconds()
}

// ServerMicros is the server's CPU time per operation begun, in microseconds;
// false if it was not measured.
func (r *Result) ServerMicros() (float64, bool) {
	if !r.ServerKnown || r.begun() == 0 {
		return 0, false
	}
	return float64(r.ServerCPU) / 1e3 / float64(r.begun()), true
}

// ClientMicros is the generator's CPU time per operation begun, in microseconds.
func (r *Result) ClientMicros() float64 {
	if r.begun() == 0 {
		return 0
	}
	return float64(r.ClientCPU) / 1e3 / float64(r.begun())
}

// Failed says why the run is not a success, or nil.
func (r *Result) Failed() error {
	switch {
	case r.GaveUp != "":
		return fmt.Errorf("%s: gave up: %s", r.Mix, r.GaveUp)
	case r.Errors > 0:
		return fmt.Errorf("%s: %d of %d operations failed, first %s", r.Mix, r.Errors, r.begun(), r.Failures[0].Example)
	}
	return nil
}
