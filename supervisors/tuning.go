package supervisors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/httpedge/native"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A setting that can change while the node runs may be shared by all nodes of a cluster.
// What a node was given itself counts there instead; where neither is, the default does.

// tunable is such a setting.
type tunable struct {
	name, fallback string
	own            func(Config) string // as the node was given it; empty: it was not
	check          func(value string) error
}

const (
	tunableLevel  = "log-level"
	tunablePlans  = "plans"
	tunableGiveUp = "give-up-after"
)

// tunables are all of them, by name.
var tunables = []tunable{
	{tunableGiveUp, DefaultGiveUpAfter.String(), func(c Config) string { return giveUpText(c.Cluster.GiveUpAfter) }, func(value string) error {
		_, err := ParseGiveUpAfter(value)
		return err
	}},
	{tunableLevel, logrus.InfoLevel.String(), func(c Config) string { return c.LogLevel }, checkLevel},
	{tunablePlans, PlansAutomatic, func(c Config) string { return c.Cluster.Plans }, checkPlans},
}

func checkLevel(value string) error {
	if !slices.Contains([]string{"debug", "info", "warning", "error"}, value) {
		return fmt.Errorf("%q is none of debug, info, warning, error", value)
	}
	return nil
}

func checkPlans(value string) error {
	if value != PlansAutomatic && value != PlansManual {
		return fmt.Errorf("%q is neither %s nor %s", value, PlansAutomatic, PlansManual)
	}
	return nil
}

// neverText is how people write NeverGiveUp.
const neverText = "never"

// ParseGiveUpAfter reads the setting give-up-after: a duration, or "never"; empty: 0.
func ParseGiveUpAfter(text string) (time.Duration, error) {
	switch text {
	case "":
		return 0, nil
	case neverText:
		return NeverGiveUp, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a duration such as 20m or 1h, nor %s", text, neverText)
	}
	if d < minGiveUp {
		return 0, fmt.Errorf("%s is shorter than %s: a node may be back by then", d, minGiveUp)
	}
	return d, nil
}

func giveUpText(d time.Duration) string {
	switch d {
	case 0:
		return ""
	case NeverGiveUp:
		return neverText
	}
	return d.String()
}

// tuning is what a node follows of such settings. Safe for concurrent use.
type tuning struct {
	log *logrus.Logger

	mu     sync.Mutex
	start  logrus.Level      // what counts where neither the node nor the cluster says
	own    map[string]string // that the node was given
	shared map[string]string // by all nodes of its cluster
	level  string            // as it was followed last
}

// newTuning begins with what the node was given.
func newTuning(c Config) *tuning {
	t := &tuning{log: c.Log}
	t.give(c)
	return t
}

// give follows what the node was given, and a level of the log anew that an operator has
// set for the moment.
func (t *tuning) give(c Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own, t.start = make(map[string]string), c.Log.GetLevel()
	for _, s := range tunables {
		if value := s.own(c); value != "" {
			t.own[s.name] = value
		}
	}
	t.follow()
}

// share follows what all nodes share. What this program does not know, or takes for
// wrong, a newer one may have written: it is left out.
func (t *tuning) share(values map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shared = make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		err := checkTunable(name, values[name])
		if err != nil {
			t.log.WithError(err).Warn("a setting of the cluster is not followed")
			continue
		}
		t.shared[name] = values[name]
	}
	if t.value(tunableLevel) != t.level {
		t.follow()
	}
}

// checkTunable says what is wrong with a value (Invalid).
func checkTunable(name, value string) error {
	const op errs.Op = "supervisors.checkTunable"
	at := slices.IndexFunc(tunables, func(s tunable) bool { return s.name == name })
	if at < 0 {
		var names []string
		for _, s := range tunables {
			names = append(names, s.name)
		}
		return errs.E(op, errs.Invalid, fmt.Errorf("%s is no setting that nodes of a cluster can share; there are: %s", name, strings.Join(names, ", ")))
	}
	if err := tunables[at].check(value); err != nil {
		return errs.E(op, errs.Invalid, fmt.Errorf("%s: %w", name, err))
	}
	return nil
}

// value is what counts of a setting; empty: its default.
func (t *tuning) value(name string) string {
	if own := t.own[name]; own != "" {
		return own
	}
	return t.shared[name]
}

// follow has the log follow what counts now.
func (t *tuning) follow() {
	t.level = t.value(tunableLevel)
	level, err := logrus.ParseLevel(t.level)
	if err != nil {
		level = t.start // nobody says anything: the others were checked
	}
	if from := t.log.GetLevel(); from != level {
		t.log.WithFields(logrus.Fields{"from": from.String(), "to": level.String()}).Info("level of the log changed")
		t.log.SetLevel(level)
	}
}

// policy is what the node does by itself while it leads its cluster.
func (t *tuning) policy() member.Policy {
	t.mu.Lock()
	defer t.mu.Unlock()
	after, err := ParseGiveUpAfter(t.value(tunableGiveUp))
	if err != nil {
		after = 0 // it was checked
	}
	return member.Policy{Manual: t.value(tunablePlans) == PlansManual, GiveUpAfter: ClusterConfig{GiveUpAfter: after}.giveUpAfter()}
}

// show tells of all settings that nodes can share.
func (t *tuning) show(shared member.Settings) api.ClusterSettings {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := api.ClusterSettings{Version: shared.Version}
	for _, s := range tunables {
		value := t.value(s.name)
		if value == "" {
			value = s.fallback
		}
		told.Settings = append(told.Settings, api.ClusterSetting{Name: s.name, Value: value, Shared: shared.Values[s.name], Own: t.own[s.name]})
	}
	for _, name := range slices.Sorted(maps.Keys(shared.Values)) {
		if !slices.ContainsFunc(tunables, func(s tunable) bool { return s.name == name }) { // of a newer program
			told.Settings = append(told.Settings, api.ClusterSetting{Name: name, Shared: shared.Values[name]})
		}
	}
	return told
}

// sharing is how the settings that all nodes share are looked at and changed; nil: the
// node is alone.
func (n *Node) sharing() *native.Sharing {
	if n.cluster == nil {
		return nil
	}
	return &native.Sharing{
		Show: func() api.ClusterSettings { return n.tuning.show(n.cluster.membership.Settings()) },
		Change: func(ctx context.Context, change map[string]*string) (api.ClusterSettings, error) {
			var faults []error
			for _, name := range slices.Sorted(maps.Keys(change)) {
				if value := change[name]; value != nil {
					faults = append(faults, checkTunable(name, *value))
				}
			}
			if err := errors.Join(faults...); err != nil {
				return api.ClusterSettings{}, errs.E("supervisors.sharing", errs.Invalid, err)
			}
			settings, err := n.cluster.membership.ChangeSettings(ctx, change)
			if err != nil {
				return api.ClusterSettings{}, err
			}
			return n.tuning.show(settings), nil
		},
	}
}
