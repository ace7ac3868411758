package supervisors

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/slab"
)

// metrics collects what the parts of a node know of themselves when somebody
// asks; nothing is counted for it in between.
type metrics struct {
	system *actors.System
	slabs  *slab.Pool
	roster func() *messages.Roster
	mounts *mountList
	census *atomic.Pointer[xaction.Census]

	state, changes, reserved                   *prometheus.Desc
	debt, running, indexBytes                  *prometheus.Desc
	readAmp, inFlight                          *prometheus.Desc
	freeBytes, totalBytes, fullness, unsettled *prometheus.Desc
	reclaimPayloads, reclaimBytes, leases      *prometheus.Desc
	history, segments, segmentsDropped         *prometheus.Desc
	scrubbed, scrubLeft, scrubOldest           *prometheus.Desc
	scrubFound, scrubSkipped, scrubDamaged     *prometheus.Desc
	slabsInUse, slabsTotal                     *prometheus.Desc
	actorsRunning, actorsQueued, actorsRestart *prometheus.Desc
	jobs, jobObjects, jobBytes                 *prometheus.Desc
	panics, quarantined, quarantines           *prometheus.Desc
	quarantineRefused, quarantineTurnedAway    *prometheus.Desc
}

// newMetrics registers a node's metrics with a registry of its own.
func newMetrics(system *actors.System, slabs *slab.Pool, roster func() *messages.Roster, mounts *mountList, census *atomic.Pointer[xaction.Census]) (*prometheus.Registry, error) {
	perDisk := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("troupe_"+name, help, []string{"mountpath"}, nil)
	}
	node := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("troupe_"+name, help, nil, nil)
	}
	m := &metrics{
		system: system, slabs: slabs, roster: roster, mounts: mounts, census: census,
		state:           prometheus.NewDesc("troupe_mountpath_state", "1 for the state that the mountpath is in, 0 for the others.", []string{"mountpath", "state"}, nil),
		changes:         prometheus.NewDesc("troupe_mountpath_changes_total", "How often the mountpath came to be in the state.", []string{"mountpath", "state"}, nil),
		reserved:        perDisk("mountpath_reserved_bytes", "Bytes that are kept free: below them writes fail, below half of them deletes too."),
		debt:            perDisk("index_compaction_debt_bytes", "Bytes that compactions of the index have to rewrite before it is at rest."),
		running:         perDisk("index_compactions_running", "Compactions of the index under way."),
		indexBytes:      perDisk("index_disk_bytes", "Bytes of the index on disk, write-ahead log included."),
		readAmp:         perDisk("index_read_amplification", "Sorted runs that a scan of the index merges."),
		inFlight:        perDisk("index_keys_in_flight", "Keys whose commit has not been synced yet."),
		freeBytes:       perDisk("mountpath_free_bytes", "Free bytes of the mountpath's filesystem."),
		totalBytes:      perDisk("mountpath_total_bytes", "Bytes of the mountpath's filesystem."),
		fullness:        perDisk("mountpath_fullness", "0 roomy, 1 full (no writes), 2 exhausted (no deletes either)."),
		unsettled:       perDisk("mountpath_unsettled_keys", "Keys that are busy until a write that failed after its rename is settled."),
		reclaimPayloads: perDisk("reclaimable_payloads", "Payloads deleted and not yet reclaimed."),
		reclaimBytes:    perDisk("reclaimable_bytes", "Bytes deleted and not yet reclaimed."),
		leases:          perDisk("leases", "Payload generations that readers keep from being reclaimed."),
		history:         perDisk("history_bytes", "Bytes of the history of objects."),
		segments:        perDisk("history_segments", "Segments of the history of objects."),
		segmentsDropped: perDisk("history_segments_dropped_total", "Segments of the history of objects that were dropped since the mountpath was opened."),
		scrubbed:        perDisk("scrub_read_bytes_total", "Bytes that the scrubber has read since the mountpath was opened."),
		scrubLeft:       perDisk("scrub_remaining_bytes", "Bytes that are left to be verified in this cycle."),
		scrubOldest:     perDisk("scrub_oldest_seconds", "How long ago the byte was verified, or written, of which that is longest ago."),
		scrubFound:      perDisk("scrub_found_total", "Payloads found damaged, ever."),
		scrubDamaged:    perDisk("scrub_damaged", "Payloads that are damaged now: nothing of them is given out."),
		scrubSkipped:    perDisk("scrub_skipped", "Payloads that could not be verified in this cycle."),
		slabsInUse:      node("slabs_in_use", "Slabs leased."),
		slabsTotal:      node("slabs", "Slabs there are."),
		actorsRunning:   node("actors", "Actors running."),
		actorsQueued:    node("actors_queued_messages", "Messages in mailboxes."),
		actorsRestart:   node("actors_restarts_total", "Restarts of actors, of those that have ended too."),
		jobs:            prometheus.NewDesc("troupe_jobs", "Jobs that are remembered, by kind and state.", []string{"kind", "state"}, nil),
		jobObjects:      prometheus.NewDesc("troupe_job_objects_total", "Objects that jobs have dealt with.", []string{"kind"}, nil),
		jobBytes:        prometheus.NewDesc("troupe_job_bytes_total", "Bytes that jobs have dealt with.", []string{"kind"}, nil),

		panics:               node("actor_panics_total", "Panics of actors."),
		quarantined:          prometheus.NewDesc("troupe_quarantined", "What is quarantined now: refused since its handling panicked again and again.", []string{"thing"}, nil),
		quarantines:          node("quarantines_total", "How often something was quarantined."),
		quarantineRefused:    node("quarantine_refused_total", "Requests that were refused because what they are about is quarantined."),
		quarantineTurnedAway: node("quarantine_turned_away_total", "What was not quarantined because too much is."),
	}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return registry, nil
}

// mountpathStates are the values of the label state.
func mountpathStates() []messages.MountpathState {
	return []messages.MountpathState{
		messages.MountpathOK, messages.MountpathFull, messages.MountpathSlow, messages.MountpathReadOnly,
		messages.MountpathFailing, messages.MountpathDisabled, messages.MountpathMissing,
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.state, m.changes, m.reserved, m.debt, m.running, m.indexBytes, m.readAmp, m.inFlight, m.freeBytes, m.totalBytes, m.fullness, m.unsettled,
		m.reclaimPayloads, m.reclaimBytes, m.leases, m.history, m.segments, m.segmentsDropped, m.scrubbed, m.scrubLeft, m.scrubOldest, m.scrubFound, m.scrubSkipped, m.scrubDamaged, m.slabsInUse, m.slabsTotal, m.actorsRunning, m.actorsQueued, m.actorsRestart,
		m.jobs, m.jobObjects, m.jobBytes, m.panics, m.quarantined, m.quarantines, m.quarantineRefused, m.quarantineTurnedAway,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, view := range m.roster().Mountpaths {
		for _, state := range mountpathStates() {
			is := 0.0
			if view.State == state {
				is = 1
			}
			gauge(m.state, is, view.Path, string(state))
			out <- prometheus.MustNewConstMetric(m.changes, prometheus.CounterValue, float64(view.Changes[state]), view.Path, string(state))
		}
	}
	for _, mount := range m.mounts.all() {
		mp := struct {
			Path  string
			Store *store.Store
		}{mount.path, mount.current.Load()}
		if mp.Store == nil {
			continue
		}
		gauge(m.reserved, float64(mp.Store.Reserved()), mp.Path)
		if x, err := mp.Store.Index().Metrics(); err == nil {
			gauge(m.debt, float64(x.DebtBytes), mp.Path)
			gauge(m.running, float64(x.CompactionsNow), mp.Path)
			gauge(m.indexBytes, float64(x.DiskBytes), mp.Path)
			gauge(m.readAmp, float64(x.ReadAmp), mp.Path)
			gauge(m.inFlight, float64(x.KeysInFlight), mp.Path)
		}
		space := mp.Store.Space()
		gauge(m.freeBytes, float64(space.FreeBytes), mp.Path)
		gauge(m.totalBytes, float64(space.TotalBytes), mp.Path)
		gauge(m.fullness, float64(mp.Store.Fullness()), mp.Path)
		unsettled, _ := mp.Store.Unsettled()
		gauge(m.unsettled, float64(unsettled), mp.Path)
		payloads, bytes := mp.Store.Reclaimable()
		gauge(m.reclaimPayloads, float64(payloads), mp.Path)
		gauge(m.reclaimBytes, float64(bytes), mp.Path)
		gauge(m.leases, float64(mp.Store.Leases()), mp.Path)
		recorded, segments, dropped := mp.Store.HistorySize()
		gauge(m.history, float64(recorded), mp.Path)
		gauge(m.segments, float64(segments), mp.Path)
		out <- prometheus.MustNewConstMetric(m.segmentsDropped, prometheus.CounterValue, float64(dropped), mp.Path)
		m.collectScrub(out, mp.Path, mp.Store.Scrub().Status())
	}
	gauge(m.slabsInUse, float64(m.slabs.InUse()))
	gauge(m.slabsTotal, float64(m.slabs.Total()))
	var queued int64
	states := m.system.Actors()
	for _, s := range states {
		queued += s.Queued
	}
	gauge(m.actorsRunning, float64(len(states)))
	gauge(m.actorsQueued, float64(queued))
	out <- prometheus.MustNewConstMetric(m.actorsRestart, prometheus.CounterValue, float64(m.system.Restarts()))
	quarantine := m.system.Quarantine().Census()
	for thing, number := range quarantine.Now {
		gauge(m.quarantined, float64(number), string(thing))
	}
	for d, sum := range map[*prometheus.Desc]int64{
		m.panics: quarantine.Panics, m.quarantines: quarantine.Begun, m.quarantineRefused: quarantine.Refused, m.quarantineTurnedAway: quarantine.TurnedAway,
	} {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(sum))
	}
	for _, tally := range m.census.Load().Tallies() {
		for _, state := range messages.JobStates() {
			gauge(m.jobs, float64(tally.Jobs[state]), tally.Kind, string(state))
		}
		out <- prometheus.MustNewConstMetric(m.jobObjects, prometheus.CounterValue, float64(tally.Done.Objects), tally.Kind)
		out <- prometheus.MustNewConstMetric(m.jobBytes, prometheus.CounterValue, float64(tally.Done.Bytes), tally.Kind)
	}
}

// collectScrub tells what was verified of a mountpath.
func (m *metrics) collectScrub(out chan<- prometheus.Metric, path string, s messages.ScrubStatus) {
	oldest := time.Duration(0)
	for i := range s.Ranges {
		for _, a := range s.Ranges[i].Ages {
			oldest = max(oldest, m.system.Clock().Now().Sub(a.At))
		}
	}
	for d, value := range map[*prometheus.Desc]float64{
		m.scrubLeft: float64(s.Remaining), m.scrubOldest: oldest.Seconds(), m.scrubSkipped: float64(s.Skipped), m.scrubDamaged: float64(s.Damaged),
	} {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, path)
	}
	out <- prometheus.MustNewConstMetric(m.scrubbed, prometheus.CounterValue, float64(s.Read), path)
	out <- prometheus.MustNewConstMetric(m.scrubFound, prometheus.CounterValue, float64(s.Found), path)
}
