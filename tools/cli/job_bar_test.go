package cli

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api"
)

// The bar of a job shows how far it is, how long it still takes and how fast it is,
// and leaves out what a narrow screen has no room for.
func TestFiguresOfAJob(t *testing.T) {
	job := api.Job{Progress: api.JobProgress{
		Objects: 1204, TotalObjects: 3881, Bytes: 1 << 30, TotalBytes: 4 << 30, ObjectsPerSecond: 66, BytesPerSecond: 35 << 20,
	}}
	for width, want := range map[int]string{
		140: " 25% 1204/3881 objects  eta 1m27s  35.0 MiB/s  66 objects/s  1.00 GiB/4.00 GiB",
		67:  " 25% 1204/3881 objects  eta 1m27s  35.0 MiB/s",
		40:  " 25% 1204/3881 objects",
	} {
		if got := strings.TrimRight(jobFigures(&job, width), " "); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	for _, c := range []struct {
		name, got, want string
	}{
		{"rate", tempoText(&job), "66 objects/s, 35.0 MiB/s"},
		{"left", leftText(&job), "1m27s"},
		{"rest", tempoText(&api.Job{}) + leftText(&api.Job{}) + limitText(&api.Job{}), ""},
		{"slow", tempoText(&api.Job{Progress: api.JobProgress{ObjectsPerSecond: 0.25, BytesPerSecond: 1}}), "0.2 objects/s, 1 B/s"},
		{"unknown total", leftText(&api.Job{Progress: api.JobProgress{Objects: 5, ObjectsPerSecond: 3}}), ""},
		{"by number", leftText(&api.Job{Progress: api.JobProgress{TotalObjects: 600, ObjectsPerSecond: 10, TotalBytes: 1, BytesPerSecond: 1}}), "1m00s"},
		{"limit", limitText(&api.Job{Rate: &api.JobRate{Objects: 100, Bytes: 1 << 20}}), "100 objects/s, 1.00 MiB/s"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}
