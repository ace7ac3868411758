package supervisors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp/pprofhandler"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/actors/bucket"
	"github.com/troupe-storage/troupe/actors/quarantine"
	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/actors/xaction/mover"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/httpedge"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/httpedge/browser"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/httpedge/intra"
	"github.com/troupe-storage/troupe/httpedge/native"
	"github.com/troupe-storage/troupe/httpedge/s3api"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// nodeName is the address of the tree's root.
const nodeName = "node"

// startTime bounds the wait for actors to be at work; opening stores comes before.
const startTime = 30 * time.Second

// stopGrace is how long requests under way may take when the node stops.
const stopGrace = 10 * time.Second

// collectAt is by how many percent the heap grows until it is collected. Payloads
// and caches lie outside of it, so that what lives is small and collecting at
// Go's usual 100 would mean many times a second: it cost LIST 30% of its
// processor time, GET 20%. The memory limit holds all the same.
const collectAt = 400

// Node is a running node. Stop ends it.
type Node struct {
	config Config
	log    *logrus.Entry
	clock  clock.Clock // what everything of the node lives by
	mounts mountList
	set    mountpath.Set
	shared *index.Shared
	// generations are those of this start, of all mountpaths.
	generations *objects.Sequencer
	slabs       *slab.Pool
	md5         *checksum.MD5Pool
	system      *actors.System
	root        *actor.PID
	// stopping says that listeners end for good: what is under way may finish.
	stopping atomic.Bool
	roster   atomic.Pointer[messages.Roster]
	buckets  atomic.Pointer[messages.BucketSet]
	jobs     atomic.Pointer[xaction.Census]
	gateway  *gateway.Gateway
	api      *native.Handler
	sockets  []net.Listener // bound and not yet an edge's
	cluster  *membership    // what the node agrees on with others, and how; nil: it is alone
	road     *intra.Road    // how requests get to others; nil: the node is alone
	adopting adopting       // what requests see of the others, and what is to come
	cancel   context.CancelFunc

	given       Config // with defaults, before anything was fitted to the machine
	keys        *auth.RootKeys
	accounts    *accounts
	certificate *httpedge.Certificate // nil: plain HTTP
	access      *access.Log           // nil: none
	tuning      *tuning
	kept        *logKeeper

	native, s3, intra string // addresses as bound; intra is empty where the node is alone
}

// Start starts a node and returns when it serves. On failure nothing is left
// running, and the error says which setting or directory is the cause.
func Start(config Config) (_ *Node, err error) {
	const op errs.Op = "supervisors.Start"
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return nil, errs.E(op, errs.Invalid, err)
	}
	if err := config.Trial.begin(); err != nil {
		return nil, errs.E(op, err)
	}
	n := &Node{config: config, given: config, log: logrus.NewEntry(config.Log), clock: clock.NewSystem()}
	n.tuning, n.kept = newTuning(config), newLogKeeper(config.Log, config.MemoryBytes)
	if config.Faults != nil {
		n.clock = config.Faults.Clock()
	}
	defer func() {
		if err != nil {
			err = errs.E(op, errors.Join(err, n.Stop()))
		}
	}()
	started, began := n.clock.Now(), n.clock.Elapsed()
	if err := n.openEdgeFiles(); err != nil {
		return nil, err
	}
	nativeSocket, err := n.bind(config.Native)
	if err != nil {
		return nil, err
	}
	s3Socket, err := n.bind(config.S3)
	if err != nil {
		return nil, err
	}
	n.native, n.s3 = nativeSocket.Addr().String(), s3Socket.Addr().String()

	if err := n.openCluster(); err != nil {
		return nil, err
	}
	mounts, documents, err := n.openDisks(started)
	if err != nil {
		return nil, err
	}
	connections, err := fitConnections(config.MaxConnections, len(mounts), mountpath.DefaultTransfers)
	if err != nil {
		return nil, err
	}
	if connections < config.MaxConnections {
		n.log.WithFields(logrus.Fields{"max-connections": config.MaxConnections, "now": connections}).Warn("fewer connections are taken: the limit of open files allows no more")
		n.config.MaxConnections = connections
	}
	budget := budgetOf(config.MemoryBytes, len(mounts))
	if n.slabs, err = slab.NewPool(budget.slabs); err != nil {
		return nil, err
	}
	n.md5 = checksum.NewMD5Pool()
	config.LimitHeap(budget.heap)
	debug.SetGCPercent(collectAt)
	options := actors.Options{Clock: n.clock, Log: n.log, Version: config.Version, Quarantine: config.Quarantine}
	if n.cluster != nil || config.Road != nil {
		options.Node = documents.Node().NodeID
	}
	n.system = actors.NewSystemWith(options)
	if config.Faults != nil {
		config.Faults.Attach(n.system)
	}
	var children []actors.Spec
	root := actors.Spec{Name: nodeName, Kind: "node", New: func() actor.Actor { return supervisorOnly{n.system, &children} }}
	if n.root, err = n.system.Spawn(n.system.Root(), root); err != nil {
		return nil, err
	}
	if err := n.spawn(controlSpec(n.system)); err != nil {
		return nil, err
	}
	if err := n.spawnQuarantine(documents); err != nil {
		return nil, err
	}
	if err := n.joinRoad(documents.Node()); err != nil {
		return nil, err
	}
	n.connectDesk()
	if err := n.spawnStorage(mounts, documents); err != nil {
		return nil, err
	}
	registry, err := newMetrics(n.system, n.slabs, n.roster.Load, &n.mounts, &n.jobs)
	if err != nil {
		return nil, err
	}
	if err := registry.Register(newEdgeMetrics(n.certificate, n.access)); err != nil {
		return nil, err
	}
	gatewayConfig := gateway.Config{
		System: n.system, Slabs: n.slabs, Roster: &n.roster, Buckets: &n.buckets, Mover: &mover.Mover{Config: n.moverConfig()},
		BucketsActor: n.system.PID(nodeName + "/" + bucket.Name),
		InlineLimit:  config.InlineBytes, MinPartBytes: config.MinPartBytes, Now: n.clock.Now,
		Found: n.noteFound, MemberIndexBytes: budget.members,
	}
	if n.cluster != nil {
		gatewayConfig.Agreed, gatewayConfig.Newer = n.cluster.buckets.Current, n.askForMap
	}
	if err := n.openRoad(&gatewayConfig); err != nil {
		return nil, err
	}
	n.gateway = gateway.New(gatewayConfig)
	if err := registry.Register(newMemberMetrics(n.gateway)); err != nil {
		return nil, err
	}
	if n.road != nil {
		for _, spec := range []actors.Spec{gateway.SettlerSpec(n.gateway), gateway.SweeperSpec(n.gateway)} {
			if err := n.spawn(spec); err != nil {
				return nil, err
			}
		}
		if err := registry.Register(newSweepMetrics(n.gateway)); err != nil {
			return nil, err
		}
		if err := registry.Register(newAroundMetrics(n.gateway)); err != nil {
			return nil, err
		}
		if err := n.spawnAdoption(); err != nil {
			return nil, err
		}
	}
	if err := n.spawnJobs(documents); err != nil {
		return nil, err
	}
	if err := n.openAccounts(documents, registry); err != nil {
		return nil, err
	}
	n.kept.begin(fmt.Sprintf("Troupe %s: node %s began at %s", config.Version, documents.Node().NodeID, started.UTC().Format(time.RFC3339)))
	listeners, err := n.listeners(registry, documents.Node().NodeID, documents.Node().ClusterID, started)
	if err != nil {
		return nil, err
	}
	if err := n.spawnCluster(documents); err != nil {
		return nil, err
	}
	listeners[0].Socket, listeners[1].Socket, n.sockets = nativeSocket, s3Socket, nil
	if err := n.spawnEdges(listeners); err != nil {
		return nil, err
	}
	if n.certificate != nil {
		if err := n.spawn(httpedge.WatchSpec(n.system, n.certificate)); err != nil {
			return nil, err
		}
	}
	if err := n.spawnExtensions(); err != nil {
		return nil, err
	}
	n.log.WithFields(logrus.Fields{"native": n.native, "s3": n.s3, "mountpaths": len(mounts), "took": (n.clock.Elapsed() - began).Round(time.Millisecond).String()}).Info("node serves")
	return n, nil
}

func (n *Node) bind(address string) (net.Listener, error) {
	socket, err := httpedge.Bind(address)
	if err == nil {
		n.sockets = append(n.sockets, socket)
	}
	return socket, err
}

// openDisks opens the mountpaths, takes the start counter, and brings every
// store to the state that its index says.
func (n *Node) openDisks(now time.Time) ([]mountpath.Mount, *embedded.Documents, error) {
	o := &opener{config: n.config, mounts: &n.mounts}
	found, err := findMounts(n.config, &o.shared)
	if err != nil {
		return nil, nil, err
	}
	n.mounts.add(found...)
	documents, all, err := identify(found, now, n.clusterOf)
	if err != nil {
		return nil, nil, err
	}
	var present []embedded.Shelf
	for _, m := range found {
		if m.waits {
			n.log.WithField("mountpath", m.path).Warn("the directory is not used yet: the set of mountpaths is being changed already; add it afterwards with troupe storage add, or start the node again")
			n.mounts.remove(m)
			if err := m.close(); err != nil {
				return nil, nil, err
			}
			continue
		}
		if m.left {
			n.log.WithField("mountpath", m.path).Warn("the directory has left the node and is not used: leave it out, or add it again with troupe storage add")
			n.mounts.remove(m)
			if err := m.close(); err != nil {
				return nil, nil, err
			}
			if m.givenUp {
				continue // what is on it may be wanted
			}
			if err := m.wipe(bucketNames(documents)); err != nil { // a kill may have kept it from being wiped
				n.log.WithError(err).WithField("mountpath", m.path).Warn("a directory that has left the node could not be wiped")
			}
			continue
		}
		if m.format != nil && m.trouble == nil && !isDisabled(all, m.format.MountpathID) {
			if err := store.RaiseFormat(m.fs, m.format); err != nil { // as if it had not been there to be tried
				m.trouble = errs.E("supervisors.openDisks", m.path, err)
				if !m.isReadOnly() {
					if err := m.closeFiles(); err != nil {
						n.log.WithError(err).WithField("mountpath", m.path).Warn("a mountpath that cannot be used could not be closed")
					}
				}
				continue
			}
			present = append(present, m.shelf())
		}
	}
	if len(present) == 0 {
		return nil, nil, errs.E("supervisors.openDisks", errs.Offline, whyNone(found))
	}
	node, err := documents.Begin(present, all)
	if err != nil {
		return nil, nil, err
	}
	if n.generations, err = n.newSequencer(documents, node); err != nil {
		return nil, nil, err
	}
	budget := budgetOf(n.config.MemoryBytes, len(all))
	n.shared = index.NewShared(budget.blockCache, len(all))
	documents.LiveBy(n.clock)
	o.planned = len(all)
	o.documents, o.options = documents, store.Options{
		Shared: n.shared, Generations: n.generations, Shares: n.config.Road != nil || n.cluster != nil,
		BootID:        n.config.Trial.boot(),
		Now:           n.clock.Now,
		Elapsed:       n.clock.Elapsed,
		MemTableBytes: index.MemTableBytes(n.config.MemoryBytes, len(all)), InlineLimit: n.config.InlineBytes, Reserve: n.config.Reserve, History: n.config.History, Log: n.log,
	}
	n.set = o.set()
	mounts, err := o.openStores(all)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range mounts {
		switch {
		case m.Store == nil:
			n.log.WithFields(logrus.Fields{"mountpath": m.Path, "reason": m.Why}).Error("mountpath is offline; its keys answer 503")
		case m.Store.ReadOnly():
			n.log.WithField("mountpath", m.Path).Error("mountpath is read-only: its keys are read, and answer 503 to writes until its filesystem takes them")
		}
	}
	return mounts, documents, dropDestroyed(documents, mounts)
}

// spawnStorage spawns mountpaths and buckets and waits until they are at work.
func (n *Node) spawnStorage(mounts []mountpath.Mount, documents *embedded.Documents) error {
	_, served := documents.Mounts()
	if err := n.spawn(mountpath.Spec(mountpath.Config{System: n.system, Published: &n.roster, Mounts: mounts, MD5: n.md5, Nodes: n.lanes(),
		Set: n.set, Transition: transitionOf(documents.Node().Transition), Lost: lostOf(documents.Node().Lost), Map: served, Jobs: n.system.PID(nodeName + "/" + xaction.Name),
		ScrubWithin: n.scrubWithin(),
	})); err != nil {
		return err
	}
	var docs []*objects.BucketDoc
	for _, d := range documents.Buckets() {
		if d.State != objects.BucketDestroyed {
			docs = append(docs, d)
		}
	}
	agreed, err := n.agreedBuckets(documents)
	if err != nil {
		return err
	}
	err = n.spawn(bucket.Spec(bucket.Config{
		System: n.system, Documents: agreed, Cluster: n.agreement(), Roster: &n.roster, Lanes: n.lanes(), Published: &n.buckets, Docs: docs, Now: n.clock.Now,
	}))
	if err != nil {
		return err
	}
	addresses := []string{nodeName + "/" + bucket.Name}
	for _, m := range n.roster.Load().Mountpaths {
		if m.Coordinator != nil {
			addresses = append(addresses, m.Coordinator.Id)
		}
	}
	return n.system.Await(startTime, addresses...)
}

// listeners describes the native and the S3 listener, in this order, and that
// of profiles if one is wanted.
func (n *Node) listeners(registry gatherer, nodeID, clusterID string, started time.Time) ([]httpedge.Listener, error) {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.keys = auth.NewRootKeys(auth.Root{AccessKey: n.config.RootAccessKey, SecretKey: n.config.RootSecretKey}, n.clock.Now)
	signed := auth.Options{
		Credentials: auth.NodeCredentials{Root: n.keys, Users: n.accounts.directory}, Previous: n.keys.Previous(), Regions: n.config.signedRegions(), Now: n.clock.Now,
		Version2: !n.config.Edge.NoSignatureV2, Domains: n.config.Domains,
	}
	signedBelow := signed
	signedBelow.Domains = nil // no host names a bucket there
	signatures := auth.New(signedBelow)
	base := s3api.Config{
		Gateway: s3api.Over(n.gateway), Auth: s3api.Signatures(auth.New(signed)), Region: n.config.Region, Regions: n.config.bucketRegions(), Context: ctx, Log: n.log,
		Ready: n.ready, Alone: n.alone,
		Limits: s3api.Limits{MinPartBytes: n.config.MinPartBytes}, HostID: nodeID,
	}
	atRoot, below := base, base
	atRoot.Domains, atRoot.Relay = n.config.Domains, n.edgeRoad(intra.S3Edge)
	below.Prefix, below.Relay, below.Auth = "/s3", n.edgeRoad(intra.NativeEdge), s3api.Signatures(signatures)
	s3, err := s3api.New(atRoot)
	if err != nil {
		return nil, err
	}
	s3Below, err := s3api.New(below)
	if err != nil {
		return nil, err
	}
	pages := browser.NewGuard(n.nativeNames())
	nativeHandler := native.New(native.Config{
		Gateway: n.gateway, Relay: n.edgeRoad(intra.NativeEdge), Roster: n.roster.Load, Metrics: registry, S3: s3Below.Handle, ExpectS3: s3Below.Expect, NodeID: nodeID,
		ClusterID: clusterID, System: systemInfo, Capacity: n.capacity,
		Cluster: n.Cluster, Peers: n.askPeer, Log: n.kept, Scheme: n.scheme("native"),
		Unready: n.unready, Alone: n.alone, Auth: signatures, Access: n.nativeAccess(), Pages: pages, Routes: n.nativeRoutes(),
		Started: started, Now: n.clock.Now, Context: ctx,
	})
	n.api = nativeHandler
	listeners := []httpedge.Listener{
		{Name: "native", Address: n.native, Handler: nativeHandler.Handle, Expect: nativeHandler.Expect, MaxConnections: n.config.MaxConnections, Grace: stopGrace},
		{Name: "s3", Address: n.s3, Handler: s3.Handle, Expect: s3.Expect, Failed: s3.ServeError, MaxConnections: n.config.MaxConnections, Grace: stopGrace},
	}
	listeners[0].Suspended, listeners[1].Suspended = nativeHandler.HandleSuspended, s3.ServeSuspended
	for i := range listeners {
		listeners[i].Stops = n.stopping.Load
	}
	if err := n.equip(listeners); err != nil {
		return nil, err
	}
	if n.road != nil {
		listeners = append(listeners, n.roadListener(map[string]intra.Served{
			intra.S3Edge:     {Handler: s3.Handle, Expect: s3.Expect},
			intra.NativeEdge: {Handler: nativeHandler.Handle, Expect: nativeHandler.Expect},
		}))
	}
	if n.config.Profile != "" {
		listeners = append(listeners, httpedge.Listener{
			Name: "profile", Address: n.config.Profile, Handler: pages.Handler(pprofhandler.PprofHandler), MaxConnections: maxProfiles,
		})
	}
	return listeners, nil
}

// nativeRoutes are the routes of the native listener that are not the native
// API's own: control, with the root pair.
func (n *Node) nativeRoutes() []native.Route {
	routes := []native.Route{
		native.LogRoute(n.config.Log),
		native.MountpathsRoute(n.system, n.system.PID(nodeName+"/"+mountpath.Name)),
		native.HistoryRoute(n.gateway),
		native.ScrubRoute(n.scrubs, n.clock.Now),
		native.EventsRoute(n.clock, n.listen()),
		native.ClusterRequestsRoute(n.decide()),
		native.ClusterSettingsRoute(n.sharing()),
		native.FaultsRoute(n.publicDesk()),
	}
	routes = append(routes, native.AccountRoutes(n, n.clock.Now)...)
	routes = append(routes, native.QuarantineRoutes(n.system, n.system.PID(nodeName+"/"+quarantine.Name))...)
	routes = append(routes, native.ActorRoutes(n.system, nodeName+"/edges/native")...)
	return append(routes, native.JobRoutes(n.system, n.system.PID(nodeName+"/"+xaction.Name))...)
}

// nativeAccess is who may use the native API.
func (n *Node) nativeAccess() native.Access {
	if n.config.NativeAuth == NativeAuthToken {
		return native.Token(n.config.NativeToken)
	}
	return native.Access{}
}

// maxProfiles is how many connections may take profiles at a time.
const maxProfiles = 8

// spawnEdges spawns the listeners under a supervisor of their own.
func (n *Node) spawnEdges(listeners []httpedge.Listener) error {
	var specs []actors.Spec
	addresses := []string{nodeName + "/edges"}
	for _, l := range listeners {
		specs = append(specs, httpedge.Spec(n.system, l))
		addresses = append(addresses, nodeName+"/edges/"+l.Name)
	}
	err := n.spawn(actors.Spec{Name: "edges", Kind: "edges", New: func() actor.Actor { return &parent{system: n.system, children: specs} }})
	if err != nil {
		return err
	}
	if err := n.system.Await(startTime, addresses[0]); err != nil {
		return err
	}
	return n.system.Await(startTime, addresses[1:]...)
}

// spawn spawns a child of the node and waits until it is at work.
func (n *Node) spawn(spec actors.Spec) error {
	reply := messages.NewReply[struct{}]()
	n.system.Root().Send(n.root, &spawnChild{spec: spec, reply: reply})
	if _, err := reply.WaitOn(n.clock, "supervisors.spawn", startTime); err != nil {
		return err
	}
	return n.system.Await(startTime, nodeName+"/"+spec.Name)
}

// Native returns the address of the native listener as bound.
func (n *Node) Native() string { return n.native }

// S3 returns the address of the S3 listener as bound.
func (n *Node) S3() string { return n.s3 }

// System returns the node's actors, for tests and control.
func (n *Node) System() *actors.System { return n.system }

// Gateway returns the way to the node's objects, for tests and for work of the cluster.
func (n *Node) Gateway() *gateway.Gateway { return n.gateway }

// Faults returns the desk through which parts of the node can be broken on
// purpose; nil if it has none.
func (n *Node) Faults() *faults.Desk { return n.config.Faults }

// Roster returns the node's mountpaths as they are now, for tests and control.
func (n *Node) Roster() *messages.Roster { return n.roster.Load() }

// Slabs returns the node's memory for payloads, for tests and metrics.
func (n *Node) Slabs() *slab.Pool { return n.slabs }

// Stop ends the node in order: listeners first, so that requests under way are
// answered, then jobs, which go on with the next start, then the tree, then the stores. It returns what could not be ended
// cleanly. Idempotent.
func (n *Node) Stop() error {
	var failures []error
	n.stopping.Store(true)
	if n.config.Faults != nil {
		n.config.Faults.Close() // what hangs in a fault would not end
	}
	if n.root != nil {
		if n.gateway != nil {
			// Jobs end before what they work on does: a failure that only comes from
			// stopping is not theirs.
			for _, name := range []string{"edges", xaction.Name} {
				if name == xaction.Name {
					failures = append(failures, n.restJobs())
				}
				n.system.Root().Stop(n.system.PID(nodeName + "/" + name))
				failures = append(failures, n.system.AwaitEnd(stopGrace+5*time.Second, nodeName+"/"+name))
			}
		}
		failures = append(failures, n.system.Stop(n.root))
		failures = append(failures, n.system.AwaitAbandoned(stopGrace)) // they use the disks
		n.system.Shutdown()
		n.root = nil
	}
	if n.cancel != nil {
		n.cancel()
	}
	failures = append(failures, n.closeCluster())
	if n.road != nil {
		n.road.Close() // questions of jobs have ended
	}
	if n.access != nil {
		failures = append(failures, n.access.Close())
	}
	for _, s := range n.sockets {
		failures = append(failures, s.Close())
	}
	n.sockets = nil
	failures = append(failures, closeMounts(n.mounts.all()))
	n.mounts.change(func([]*mount) []*mount { return nil })
	failures = append(failures, n.config.Trial.end())
	n.kept.close()
	if n.shared != nil {
		n.shared.Close()
		n.shared = nil
	}
	if n.md5 != nil {
		n.md5.Close()
		n.md5 = nil
	}
	if n.slabs != nil {
		failures = append(failures, n.slabs.Close())
		n.slabs = nil
	}
	return errors.Join(failures...)
}
