package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// read returns a document, and the index at which a wait for it begins; with mu held.
func (m *Memory) read(key string) (cluster.Document, uint64) {
	doc, ok := m.documents[key]
	if !ok {
		return cluster.Document{Key: key}, max(m.removed[key], 1)
	}
	return cluster.Document{Key: key, Value: doc.value, Index: doc.index, Stamp: doc.stamp}, doc.index
}

// list returns the documents below a prefix; with mu held.
func (m *Memory) list(prefix string) ([]cluster.Document, uint64) {
	var docs []cluster.Document
	last := uint64(1)
	for key, doc := range m.documents {
		if strings.HasPrefix(key, prefix) {
			docs = append(docs, cluster.Document{Key: key, Value: doc.value, Index: doc.index, Stamp: doc.stamp})
			last = max(last, doc.index)
		}
	}
	for key, at := range m.removed {
		if strings.HasPrefix(key, prefix) {
			last = max(last, at)
		}
	}
	slices.SortFunc(docs, func(a, b cluster.Document) int { return strings.Compare(a.Key, b.Key) })
	return docs, last
}

// commit carries out all writes or none; with mu held.
func (m *Memory) commit(stamp uint64, writes []cluster.Write) error {
	for _, w := range writes {
		if have := m.documents[w.Key].index; have != w.Index {
			return errs.E("embedded.commit", w.Key, errs.Conflict, fmt.Errorf("it is at index %d, not at %d", have, w.Index))
		}
	}
	index := uint64(0)
	take := func() uint64 { // one index for all
		if index == 0 {
			index = m.next()
		}
		return index
	}
	for _, w := range writes {
		have, exists := m.documents[w.Key]
		switch w.Change {
		case cluster.Replace:
			if exists && have.stamp == stamp && bytes.Equal(have.value, w.Value) {
				continue // as in Consul, nothing changes
			}
			have.value, have.stamp, have.index = bytes.Clone(w.Value), stamp, take()
			m.documents[w.Key] = have
		case cluster.Remove:
			delete(m.documents, w.Key)
			m.removed[w.Key] = take()
		}
	}
	return nil
}

// open begins a session; with mu held.
func (m *Memory) open(id string, s cluster.Session) {
	have := &session{Session: s}
	m.sessions[id] = have
	m.prolong(id, have)
}

// prolong lets a session live on for its TTL; with mu held.
func (m *Memory) prolong(id string, s *session) {
	stopTimer(s.timer)
	s.number++
	number := s.number
	s.timer = m.clock.AfterFunc(s.TTL, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.sessions[id] == s && s.number == number {
			m.finish(id)
		}
	})
}

// finish ends a session, and keeps its locks from everybody for its lock delay; with
// mu held.
func (m *Memory) finish(id string) {
	s := m.sessions[id]
	if s == nil {
		return
	}
	stopTimer(s.timer)
	delete(m.sessions, id)
	for key, doc := range m.documents {
		if doc.session == id {
			doc.session, doc.index = "", m.next()
			m.documents[key] = doc
			m.delayed[key] = m.clock.Elapsed() + s.LockDelay
		}
	}
}

// acquire takes a lock if it can be had; with mu held.
func (m *Memory) acquire(l cluster.Lock) error {
	if m.sessions[l.Session] == nil {
		return errs.E("embedded.acquire", l.Key, errs.NotFound, errors.New("the session is over"))
	}
	have := m.documents[l.Key]
	if have.session != "" && have.session != l.Session || m.clock.Elapsed() < m.delayed[l.Key] {
		return nil
	}
	if have.session == l.Session && bytes.Equal(have.value, l.Value) {
		return nil
	}
	have.session, have.value, have.index = l.Session, bytes.Clone(l.Value), m.next()
	m.documents[l.Key] = have
	return nil
}

// release gives a lock up; with mu held.
func (m *Memory) release(l cluster.Lock) {
	if have := m.documents[l.Key]; have.session != "" && have.session == l.Session {
		have.session, have.index = "", m.next()
		m.documents[l.Key] = have
	}
}

// holder returns who has a lock; with mu held.
func (m *Memory) holder(key string) (cluster.Holder, uint64) {
	_, index := m.read(key)
	have := m.documents[key]
	return cluster.Holder{Session: have.session, Value: have.value, Fence: have.index}, index
}
