package supervisors

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/cluster/member"
)

// What a node was given itself counts before what its cluster shares, and that before the
// default; what is wrong, or of a newer program, is left out, and named.
func TestTuning(t *testing.T) {
	var said bytes.Buffer
	log := logrus.New()
	log.SetOutput(&said)
	c := Config{Log: log}
	given := newTuning(c)
	if p := given.policy(); p != (member.Policy{GiveUpAfter: DefaultGiveUpAfter}) || log.GetLevel() != logrus.InfoLevel {
		t.Errorf("by default: %+v, %s", p, log.GetLevel())
	}

	shared := map[string]string{"log-level": "debug", "plans": "manual", "give-up-after": "never", "give-up-before": "1h"}
	given.share(shared)
	if p := given.policy(); p != (member.Policy{Manual: true}) || log.GetLevel() != logrus.DebugLevel {
		t.Errorf("as the cluster shares it: %+v, %s", p, log.GetLevel())
	}
	if text := said.String(); !strings.Contains(text, "give-up-before") {
		t.Errorf("a setting that is not known is not named: %s", text)
	}
	log.SetLevel(logrus.ErrorLevel) // by an operator, for the moment
	given.share(shared)
	if log.GetLevel() != logrus.ErrorLevel {
		t.Error("a level that was set for the moment goes with a change of something else")
	}

	own := c
	own.LogLevel, own.Cluster.Plans, own.Cluster.GiveUpAfter = "warning", PlansAutomatic, 20*time.Minute
	given.give(own)
	if p := given.policy(); p != (member.Policy{GiveUpAfter: 20 * time.Minute}) || log.GetLevel() != logrus.WarnLevel {
		t.Errorf("as the node was given it: %+v, %s", p, log.GetLevel())
	}
	told := given.show(member.Settings{Version: 7, Values: shared})
	want := []string{"give-up-after 20m0s never 20m0s", "log-level warning debug warning", "plans automatic manual automatic", "give-up-before  1h "}
	for i, s := range told.Settings {
		if got := strings.Join([]string{s.Name, s.Value, s.Shared, s.Own}, " "); i >= len(want) || got != want[i] {
			t.Errorf("it is told as %q", got)
		}
	}
	if told.Version != 7 || len(told.Settings) != len(want) {
		t.Errorf("it tells %+v", told)
	}

	given.give(Config{Log: logrus.New()})
	given.share(map[string]string{"plans": "sometimes", "give-up-after": "3s", "log-level": "loud"})
	if p := given.policy(); p != (member.Policy{GiveUpAfter: DefaultGiveUpAfter}) || log.GetLevel() != logrus.InfoLevel {
		t.Errorf("what is wrong is followed: %+v, %s", p, log.GetLevel())
	}
}
