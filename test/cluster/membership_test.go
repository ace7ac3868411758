package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// registration is that of a node for tests.
func registration(clusterID, nodeID string) cluster.Registration {
	return cluster.Registration{
		ClusterID: clusterID, ClusterName: "lab", NodeID: nodeID, Version: "v1.2.3", Address: "127.0.0.1", Port: 8080,
		Roles: []string{"storage"}, Listeners: map[string]string{"native": "127.0.0.1:8080", "s3": "127.0.0.1:9000"},
		Heartbeat: 10 * time.Second, ForgetAfter: 72 * time.Hour,
	}
}

// appear keeps a node in the catalogue until the test ends or stop is called.
func appear(t *testing.T, m cluster.Membership, r cluster.Registration) (p *cluster.Presence, stop func()) {
	t.Helper()
	p, err := cluster.NewPresence(m, r, quick())
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { check(t, p.Run(ctx)) })
	stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
	})
	t.Cleanup(stop)
	return p, stop
}

// shows says whether exactly these nodes are there, each with a status.
func shows(members []cluster.Member, want map[string]cluster.Status) bool {
	got := make(map[string]cluster.Status)
	for _, m := range members {
		got[m.NodeID] = m.Status
	}
	return maps.Equal(got, want)
}

// awaitMembers waits until exactly these nodes are there.
func awaitMembers(t *testing.T, w *cluster.Watch[[]cluster.Member], want map[string]cluster.Status) []cluster.Member {
	t.Helper()
	return next(t, w, func(members []cluster.Member) bool { return shows(members, want) })
}

// What a node tells of itself is what others see: who comes, changes, is unwell, goes.
func TestMembers(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, id := within(t), newID(t)
		one, two := "a"+newID(t), "b"+newID(t)
		n := w.join(t)
		watch := cluster.WatchMembers(w.join(t), id, quick())
		awaitMembers(t, watch, map[string]cluster.Status{})

		p1, _ := appear(t, n, registration(id, one))
		p2, stop2 := appear(t, w.join(t), registration(id, two))
		appear(t, n, registration(newID(t), "c"+newID(t))) // of another cluster
		members := awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing, two: cluster.Passing})
		want := cluster.MemberOf(registration(id, one))
		want.Status = cluster.Passing
		if !members[0].Equal(want) {
			t.Errorf("%+v, want %+v", members[0], want)
		}
		if !slices.Contains(members[0].Tags, "lab") || !slices.Contains(members[0].Tags, "storage") {
			t.Errorf("its tags are %q", members[0].Tags)
		}

		p1.SetHealth(cluster.Health{Status: cluster.Warning, Reason: "1 of 4 mountpaths is failing"})
		members = awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Warning, two: cluster.Passing})
		if !strings.Contains(members[0].Reason, "mountpaths") {
			t.Errorf("the reason is %q", members[0].Reason)
		}
		p1.SetHealth(cluster.Health{Status: cluster.Passing})
		moved := registration(id, one)
		moved.Port, moved.Listeners = 8081, map[string]string{"native": "127.0.0.1:8081"}
		must(t, p1.SetRegistration(moved))
		members = next(t, watch, func(members []cluster.Member) bool {
			return shows(members, map[string]cluster.Status{one: cluster.Passing, two: cluster.Passing}) && members[0].Port == 8081
		})
		if !maps.Equal(members[0].Listeners, moved.Listeners) {
			t.Errorf("its listeners are %v", members[0].Listeners)
		}

		wantKind(t, errs.Conflict, p2.Leave(ctx)) // it would come back
		stop2()
		must(t, p2.Leave(ctx))
		must(t, p2.Leave(ctx))
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
		if s := p1.State(); s.Beats < 3 || s.Err != nil {
			t.Errorf("the state is %+v", s)
		}
	})
}

// A node that its agent has forgotten is there again by itself.
func TestForgottenNodeRegistersAgain(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		id, one := newID(t), "a"+newID(t)
		n := w.join(t)
		watch := cluster.WatchMembers(w.join(t), id, quick())
		p, _ := appear(t, n, registration(id, one))
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
		w.forget(t, one)
		awaitMembers(t, watch, map[string]cluster.Status{})
		// Control: without its presence it stays away.
		wantKind(t, errs.NotFound, n.Beat(within(t), one, cluster.Health{Status: cluster.Passing}))
		p.SetHealth(cluster.Health{Status: cluster.Passing}) // need not wait for the next beat
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
	})
}

// What an operator takes out of service shows as maintenance, with the reason, and is
// well again when it is put back.
func TestMaintenance(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		id, one, two := newID(t), "a"+newID(t), "b"+newID(t)
		watch := cluster.WatchMembers(w.join(t), id, quick())
		appear(t, w.join(t), registration(id, one))
		appear(t, w.join(t), registration(id, two))
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing, two: cluster.Passing})
		w.setMaintenance(t, one, "new disks")
		members := awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Maintenance, two: cluster.Passing})
		if !members[0].InMaintenance() || members[1].InMaintenance() || !strings.Contains(members[0].Reason, "new disks") {
			t.Errorf("%+v", members)
		}
		w.setMaintenance(t, one, "")
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing, two: cluster.Passing})
	})
}

// A node that is not heard of becomes critical and stays in the catalogue; the next
// beat heals it.
func TestMissedHeartbeat(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		id, one := newID(t), "a"+newID(t)
		n := w.join(t)
		watch := cluster.WatchMembers(w.join(t), id, quick())
		_, stop := appear(t, n, registration(id, one))
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
		stop()
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Critical})
		must(t, n.Beat(within(t), one, cluster.Health{Status: cluster.Passing}))
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
	})
}

// Nodes are there again after the service was away: with its data, and without.
func TestMembersComeBack(t *testing.T) {
	over(t, own, func(t *testing.T, w world) {
		id, one := newID(t), "a"+newID(t)
		watch := cluster.WatchMembers(w.join(t), id, quick())
		p, _ := appear(t, w.join(t), registration(id, one))
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
		w.stop(t)
		p.SetHealth(cluster.Health{Status: cluster.Warning}) // cannot be told now
		if _, err := watch.Next(within(t)); !errs.Is(errs.Offline, err) {
			t.Errorf("while nothing answers, a watch says %v", err)
		}
		w.start(t)
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Warning})
		w.wipe(t)
		p.SetHealth(cluster.Health{Status: cluster.Passing})
		awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
	})
}

// A registration that no provider would take is refused, with all that is wrong.
func TestRegistrationIsChecked(t *testing.T) {
	good := registration("c", "n")
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := cluster.Registration{
		Port: 70000, Heartbeat: time.Second, HealthURL: "http://x", ForgetAfter: time.Second,
		Listeners: map[string]string{"a b": "x", "s3": strings.Repeat("x", 600)},
	}
	err := bad.Validate()
	wantKind(t, errs.Invalid, err)
	for _, fault := range []string{"cluster id", "node id", "address", "port", "heartbeat", "interval", "forgotten", "a b", "listener_s3"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is not named in %v", fault, err)
		}
	}
	if _, err := cluster.NewPresence(nil, bad, quick()); !errs.Is(errs.Invalid, err) {
		t.Errorf("it is taken: %v", err)
	}
}
