package native

import (
	"cmp"
	"time"

	"github.com/troupe-storage/troupe/api/scrub"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// Scrubs is what the scrubbers of a node have done.
type Scrubs struct {
	Days       int // 0: off
	Mountpaths []MountpathScrub
	Buckets    []objects.Bucket // that there are
}

// MountpathScrub is what one of them has done.
type MountpathScrub struct {
	ID, Path string
	Status   messages.ScrubStatus
}

// ScrubRoute tells what was verified, to who signs with the root pair; see api/scrub. It
// asks no actor: all is called for each answer, and must not block on a disk.
func ScrubRoute(all func() Scrubs, now func() time.Time) Route {
	show := func(r *Request) error { return r.JSON(scrubOf(all(), now())) }
	return Route{Path: scrub.Path, Guard: Control, Handle: Verbs{get: show}.Handle}
}

func scrubOf(all Scrubs, now time.Time) scrub.Status {
	names := make(map[objects.BucketID]string, len(all.Buckets))
	for _, b := range all.Buckets {
		names[b.ID] = b.Name
	}
	answer := scrub.Status{Days: all.Days, Mountpaths: make([]scrub.Mountpath, len(all.Mountpaths))}
	for i := range all.Mountpaths {
		answer.Mountpaths[i] = mountpathScrubOf(&all.Mountpaths[i], names, now, all.Days)
	}
	return answer
}

func mountpathScrubOf(m *MountpathScrub, names map[objects.BucketID]string, now time.Time, days int) scrub.Mountpath {
	s := &m.Status
	out := scrub.Mountpath{
		ID: m.ID, Path: m.Path, Phase: string(s.Phase), Cycle: s.Cycle, Begun: dated(s.Begun), Due: dated(s.Due), Ended: dated(s.Ended),
		Bytes: s.Bytes, Payloads: s.Payloads, Remaining: s.Remaining, Read: s.Read, Taken: s.Taken, Skipped: s.Skipped, Found: s.Found, Unrepairable: s.Damaged,
		Buckets: make([]scrub.Bucket, 0, len(s.Ranges)), Findings: findingsOf(s.Findings), Skips: findingsOf(s.Skips),
	}
	if s.At.Bucket.Name != "" {
		if out.At = s.At.Bucket.Name; s.At.Name != "" {
			out.At = s.At.String()
		}
	}
	var oldest time.Time
	for i := range s.Ranges {
		b := bucketScrubOf(&s.Ranges[i], now)
		b.Name = names[s.Ranges[i].Bucket]
		if oldest.IsZero() || b.Oldest.Before(oldest) {
			oldest = b.Oldest
		}
		out.Buckets = append(out.Buckets, b)
	}
	out.Oldest = dated(oldest)
	out.Late = days > 0 && !oldest.IsZero() && now.Sub(oldest) > time.Duration(days)*24*time.Hour
	return out
}

// dated is a time, or nil if there is none.
func dated(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func bucketScrubOf(r *messages.ScrubAges, now time.Time) scrub.Bucket {
	b := scrub.Bucket{ID: r.Bucket.String(), Uploads: r.Uploads}
	sums := make(map[int]*scrub.Age)
	for _, a := range r.Ages {
		if b.Oldest.IsZero() || a.At.Before(b.Oldest) {
			b.Oldest = a.At
		}
		below := classOf(now.Sub(a.At))
		if sums[below] == nil {
			sums[below] = &scrub.Age{Below: below}
		}
		sums[below].Bytes += a.Bytes
		sums[below].Payloads += a.Payloads
	}
	for _, below := range scrub.Classes() {
		if sum := sums[below]; sum != nil {
			b.Ages = append(b.Ages, *sum)
		}
	}
	return b
}

// classOf is the class of an age.
func classOf(age time.Duration) int {
	for _, below := range scrub.Classes() {
		if below > 0 && age < time.Duration(below)*24*time.Hour {
			return below
		}
	}
	return 0
}

func findingsOf(all []messages.ScrubFinding) []scrub.Finding {
	var out []scrub.Finding
	for _, f := range all {
		one := scrub.Finding{
			Bucket: cmp.Or(f.Key.Bucket.Name, f.Key.Bucket.ID.String()), Key: f.Key.Name, Upload: f.UploadID, Part: f.Part, Reason: f.Reason, At: f.At, Path: f.Path,
		}
		if !f.Payload.IsZero() {
			one.Payload = f.Payload.String()
		}
		out = append(out, one)
	}
	return out
}
