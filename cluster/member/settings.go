package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Settings are what all nodes of a cluster are to follow where they were given nothing
// else: names and values as people write them, whose meaning is not this package's. They
// are the document under Keys.Config; any node writes it, all follow it. An immutable
// value.
type Settings struct {
	Version uint64            `json:"version"` // counts the changes; 0: nothing was ever shared
	Values  map[string]string `json:"settings,omitempty"`
}

// with returns changed settings, as their next version: nil takes a name out.
func (s Settings) with(change map[string]*string) Settings {
	values := maps.Clone(s.Values)
	if values == nil {
		values = make(map[string]string)
	}
	for name, value := range change {
		if value == nil {
			delete(values, name)
		} else {
			values[name] = *value
		}
	}
	return Settings{s.Version + 1, values}
}

// settingsSeen says what all nodes share.
type settingsSeen struct {
	doc cluster.Document
	err error
}

func (m *member) onSettingsSeen(msg *settingsSeen) {
	if m.watchErr = msg.err; msg.err != nil {
		return
	}
	seen, err := valueOf[Settings](msg.doc)
	if err != nil {
		m.System.Log().WithError(err).Error("the settings of the cluster cannot be read, and are not followed")
		return
	}
	known := m.held.settings.Load()
	// The provider has lost them, or has older ones: what is known is written again.
	m.lostSettings = seen.Version < known.Version
	if seen.Version <= known.Version {
		return
	}
	m.Settings(seen)
	m.held.settings.Store(&seen) // who waits for the version finds it followed
	m.unsaved = true
	m.emit(messages.ClusterEvent{Kind: messages.ClusterSettingsChanged, Version: seen.Version})
}

// settingsKept says whether the provider has the settings again.
type settingsKept struct{ err error }

// keepSettings has the leader write the settings that the provider has lost.
func (m *member) keepSettings(ctx actor.Context) {
	if !m.lostSettings || m.keeping || m.lead == nil || !m.lead.Held() {
		return
	}
	m.keeping = true
	store, key, known := m.store, m.keys().Config(), *m.held.settings.Load()
	m.task(ctx, "settings", func(ctx context.Context) any {
		doc, err := store.Get(ctx, key)
		if err != nil {
			return &settingsKept{err}
		}
		now, err := valueOf[Settings](doc)
		if err != nil || now.Version >= known.Version {
			return &settingsKept{err}
		}
		text, err := json.Marshal(known)
		if err == nil {
			err = store.Put(ctx, doc, text)
		}
		return &settingsKept{err}
	}, func(err error) any { return &settingsKept{err} })
}

func (m *member) onSettingsKept(msg *settingsKept) {
	m.keeping = false
	if msg.err != nil {
		m.later(msg.err)
		return
	}
	m.lostSettings = false
}

const (
	// changeTries bounds how often a change meets another one.
	changeTries = 5
	// MaxSettingsBytes bounds the document.
	MaxSettingsBytes = 64 << 10
	// followTime is how long a change waits for its own node to follow it.
	followTime = 2 * time.Second
)

// Settings returns what all nodes share, as far as this node knows.
func (s *Membership) Settings() Settings { return *s.held.settings.Load() }

// ChangeSettings changes what all nodes share, and returns it as it is then: nil takes a
// name out. This node follows it when the call returns, or a moment later, as others do.
// It blocks, for seconds at most. Errors: Invalid (it becomes too large), Conflict (others
// change it all the time), Offline (what all nodes agree on cannot be reached).
func (s *Membership) ChangeSettings(ctx context.Context, change map[string]*string) (Settings, error) {
	const op errs.Op = "member.ChangeSettings"
	keys, err := cluster.NewKeys(s.config.ClusterID)
	if err != nil {
		return Settings{}, errs.E(op, err)
	}
	clock := s.config.System.Clock()
	ctx, done := cluster.Within(ctx, clock, askTime)
	defer done()
	store := cluster.NewStore(s.config.Provider, s.config.Pace)
	for try := 1; ; try++ {
		doc, err := store.Get(ctx, keys.Config())
		if err != nil {
			return Settings{}, errs.E(op, errs.Offline, settingsAway(err))
		}
		was, err := valueOf[Settings](doc)
		if err != nil {
			return Settings{}, errs.E(op, err)
		}
		if known := s.Settings(); was.Version < known.Version {
			was = known // the provider has lost them
		}
		next := was.with(change)
		if maps.Equal(next.Values, was.Values) {
			return was, nil
		}
		text, err := json.Marshal(next)
		if err == nil && len(text) > MaxSettingsBytes {
			err = errs.E(op, errs.Invalid, fmt.Errorf("the settings of the cluster would have %d bytes; at most %d", len(text), MaxSettingsBytes))
		}
		if err != nil {
			return Settings{}, err
		}
		switch err := store.Put(ctx, doc, text); {
		case err == nil:
			s.awaitSettings(ctx, next.Version)
			return next, nil
		case !errs.Is(errs.Conflict, err):
			return Settings{}, errs.E(op, errs.Offline, settingsAway(err))
		case try == changeTries:
			return Settings{}, errs.E(op, errs.Conflict, errors.New("others change the settings of the cluster at the same time; look at them, and ask again"), err)
		}
	}
}

// settingsAway says why settings cannot be changed now.
func settingsAway(cause error) error {
	return fmt.Errorf("the settings of a cluster change only while Consul can be reached: %w", cause)
}

// awaitSettings waits until this node follows a version, for a moment.
func (s *Membership) awaitSettings(ctx context.Context, version uint64) {
	ctx, done := cluster.Within(ctx, s.config.System.Clock(), followTime)
	defer done()
	for s.Settings().Version < version && cluster.Pause(ctx, s.config.System.Clock(), adoptPause) {
	}
}
