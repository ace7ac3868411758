// Package faults is the fault desk of a node: the one place in the process
// through which tests and operators break things on purpose.
//
//	Inject ──▶ Desk ──┬─ messages on their way into actors   (actors.Interceptor)
//	                  ├─ operations of mountpaths' disks     (disk.Faulty)
//	                  ├─ connections with other nodes        (Dialer, Listener, Server)
//	                  ├─ steps of jobs                       (Step)
//	                  └─ the clock that the node lives by    (clock.Clock)
//
// A Fault says what is broken (Messages, Disk, Link, Job or Clock), which of what
// matches (When), and for how long. The desk itself ends it when that is over, whoever
// set it: it takes the fault out, and lets go what hangs in it. Its own timers run
// by the clock below the one that it breaks.
//
// A node without a desk (supervisors.Config.Faults nil) has none of these hooks;
// one with an idle desk pays an atomic load per message, disk operation, and read or
// write between nodes. docs/faults.md has the figures.
//
// A fault touches a node if that may not serve its keys because of it. Touches and
// Redundancy are pure: what nodes there are, and what their faults touch, they are
// told (supervisors/fault_desk.go).
//
// A desk remembers who injected a fault, what it hit, and how it ended (audit.go).
//
// Words: a fault is injected, hits, and is lifted. Lifted, it ended: it expired or
// was cleared.
//
// Start with Fault, then Desk, then connection.go.
package faults
