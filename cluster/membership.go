package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Status is how a node or one of its checks is.
type Status string

const (
	// Passing: well.
	Passing Status = "passing"
	// Warning: works, and somebody should look.
	Warning Status = "warning"
	// Critical: does not work, or is not heard of.
	Critical Status = "critical"
	// Maintenance: an operator has taken the node out, with `consul maint`.
	Maintenance Status = "maintenance"
)

// Names of what every registration carries beside the meta of its node.
const (
	MetaCluster  = "cluster"        // the id of the cluster
	MetaNode     = "node_id"        // the id of the node
	MetaVersion  = "version"        // of the program
	MetaListener = "listener_"      // prefix: listener_s3 = host:port
	maxMetaPairs = 64               // Consul's
	maxMetaKey   = 128              // likewise
	maxMetaValue = 512              // likewise
	minHeartbeat = 10 * time.Second // so that an election of Consul's servers costs no beat
	minForget    = 1 * time.Minute  // Consul raises what is lower
	maxHeartbeat = 24 * time.Hour   // nobody would learn of a death
	minProbe     = 1 * time.Second  // of the HTTP check
	maxProbe     = 10 * time.Minute // likewise
)

// Registration is what a node tells of itself. It changes seldom: no counters.
type Registration struct {
	ClusterID   string // of the cluster; not empty
	ClusterName string // for people; a tag
	NodeID      string // stable over restarts; not empty
	Version     string // of the program
	Address     string // host or address that others reach the node at; not empty
	Port        int    // of the listener that discovery leads to, 1 to 65535
	Roles       []string
	// Listeners are host:port by the listener's name: native, s3, intra, remote.
	Listeners map[string]string
	// Heartbeat is how long a beat is good for, from 10 s to a day.
	Heartbeat time.Duration
	// HealthURL is what the provider asks by itself every HealthInterval (from 1 s to 10
	// min): /v1/health of the node. Empty: nothing.
	HealthURL      string
	HealthInterval time.Duration
	// ForgetAfter is after how long of being critical the node is taken out; at least a
	// minute; 0: never. For storage: days.
	ForgetAfter time.Duration
}

// Validate reports all faults at once, as Invalid.
func (r Registration) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for name, value := range map[string]string{"cluster id": r.ClusterID, "node id": r.NodeID, "address": r.Address} {
		if value == "" {
			fault("the %s is empty", name)
		}
	}
	if r.Port < 1 || r.Port > 65535 {
		fault("the port %d is not from 1 to 65535", r.Port)
	}
	if r.Heartbeat < minHeartbeat || r.Heartbeat > maxHeartbeat {
		fault("the heartbeat of %s is not from %s to %s", r.Heartbeat, minHeartbeat, maxHeartbeat)
	}
	if r.HealthURL != "" && (r.HealthInterval < minProbe || r.HealthInterval > maxProbe) {
		fault("the interval of %s between two questions for health is not from %s to %s", r.HealthInterval, minProbe, maxProbe)
	}
	if r.ForgetAfter != 0 && r.ForgetAfter < minForget {
		fault("a node cannot be forgotten after %s; at least %s, or 0 for never", r.ForgetAfter, minForget)
	}
	meta := r.Meta()
	if len(meta) > maxMetaPairs {
		fault("%d listeners are too many", len(r.Listeners))
	}
	for key, value := range meta {
		if len(key) > maxMetaKey || len(value) > maxMetaValue {
			fault("%s has more than %d bytes, or its name more than %d", key, maxMetaValue, maxMetaKey)
		}
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			fault("%q is no name for a listener: letters, digits, - and _ only", strings.TrimPrefix(key, MetaListener))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs.E("cluster.Registration", r.NodeID, errs.Invalid, errors.Join(faults...))
}

// Tags returns the name of the cluster and the roles.
func (r Registration) Tags() []string {
	tags := slices.Clone(r.Roles)
	if r.ClusterName != "" {
		tags = append([]string{r.ClusterName}, tags...)
	}
	return tags
}

// Meta returns what is kept beside the address.
func (r Registration) Meta() map[string]string {
	meta := map[string]string{MetaCluster: r.ClusterID, MetaNode: r.NodeID, MetaVersion: r.Version}
	for name, address := range r.Listeners {
		meta[MetaListener+name] = address
	}
	return meta
}

// Health is how a node says that it is. Reason is for people, short; that it changes
// wakes no watch.
type Health struct {
	Status Status // Passing, Warning or Critical
	Reason string
}

// Member is a node as the catalogue shows it.
type Member struct {
	ClusterID string
	NodeID    string
	Version   string
	Address   string
	Port      int
	Tags      []string
	Listeners map[string]string
	// Status is the worst of its checks, where Maintenance is worse than Critical.
	Status Status
	// Reason is what the checks that are not Passing say; may be minutes old.
	Reason string
}

// InMaintenance reports whether an operator has taken the node out.
func (m Member) InMaintenance() bool { return m.Status == Maintenance }

// Equal reports whether nothing has changed that somebody would act on: everything
// but Reason, which follows late.
func (m Member) Equal(o Member) bool {
	return m.ClusterID == o.ClusterID && m.NodeID == o.NodeID && m.Version == o.Version && m.Address == o.Address &&
		m.Port == o.Port && m.Status == o.Status && slices.Equal(m.Tags, o.Tags) && maps.Equal(m.Listeners, o.Listeners)
}

// MemberOf makes a member of what a catalogue keeps: address and port, tags and meta
// as Registration gave them.
func MemberOf(r Registration) Member {
	return Member{
		ClusterID: r.ClusterID, NodeID: r.NodeID, Version: r.Version, Address: r.Address, Port: r.Port,
		Tags: r.Tags(), Listeners: maps.Clone(r.Listeners), Status: Critical,
	}
}

// InCluster returns the members of one cluster.
func InCluster(members []Member, clusterID string) []Member {
	return slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.ClusterID != clusterID })
}
