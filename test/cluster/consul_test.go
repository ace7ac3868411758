package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/consul"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	server "github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
)

// What only real Consul can be made to do.

// needed are the permissions that docs/cluster.md asks operators for.
const needed = `
service_prefix "troupe" { policy = "write" }
key_prefix "troupe/"    { policy = "write" }
session_prefix ""       { policy = "write" }
node_prefix ""          { policy = "read" }
agent_prefix ""         { policy = "read" }
`

// makeToken makes a token with a policy, with the operator's token.
func makeToken(t *testing.T, s *server.Server, name, rules string) string {
	t.Helper()
	policy, err := json.Marshal(map[string]any{"Name": name, "Rules": rules})
	must(t, err)
	_, err = s.Do(t.Context(), http.MethodPut, "/v1/acl/policy", strings.NewReader(string(policy)))
	must(t, err)
	token, err := json.Marshal(map[string]any{"Policies": []map[string]string{{"Name": name}}})
	must(t, err)
	answer, err := s.Do(t.Context(), http.MethodPut, "/v1/acl/token", strings.NewReader(string(token)))
	must(t, err)
	var made struct{ SecretID string }
	must(t, json.Unmarshal([]byte(answer), &made))
	return made.SecretID
}

// doAll does one of everything, and returns the failures by name.
func doAll(ctx context.Context, t *testing.T, p cluster.Provider, keys cluster.Keys, nodeID string) map[string]error {
	t.Helper()
	failures := make(map[string]error)
	note := func(what string, err error) {
		if err != nil {
			failures[what] = err
		}
	}
	store := cluster.NewStore(p, quick())
	note("put", store.Put(ctx, cluster.Document{Key: keys.Smap()}, []byte("{}")))
	doc, err := store.Get(ctx, keys.Smap())
	note("get", err)
	if err == nil && doc.Exists() {
		note("remove", store.Remove(ctx, doc))
	}
	_, err = store.List(ctx, keys.All())
	note("list", err)
	note("register", p.Register(ctx, registration("c", nodeID)))
	note("beat", p.Beat(ctx, nodeID, cluster.Health{Status: cluster.Passing}))
	_, _, err = p.Members(ctx, cluster.Query{})
	note("members", err)
	id, err := p.OpenSession(ctx, cluster.Session{Name: "s", TTL: cluster.MinSessionTTL})
	note("open", err)
	if err == nil {
		lock := cluster.Lock{Key: keys.Leader(), Session: id}
		note("renew", p.RenewSession(ctx, id))
		note("acquire", p.Acquire(ctx, lock))
		holder, _, err := p.Holder(ctx, keys.Leader(), cluster.Query{})
		note("holder", err)
		if err == nil && holder.Session != id {
			t.Errorf("the lock is held by %+v", holder)
		}
		note("release", p.Release(ctx, lock))
		note("close", p.CloseSession(ctx, id))
	}
	note("deregister", p.Deregister(ctx, nodeID))
	return failures
}

// With the permissions that operators are asked for, all works. Without, everything is
// denied and nothing is empty; no error tells the token; a token file is followed.
func TestPermissions(t *testing.T) {
	t.Parallel()
	ctx, keys := within(t), keysOf(t)
	s := startConsul(t, server.Config{Management: "6d1c4a0e-2f6b-4a53-9d0c-3f6f3c1f8a10"})
	good := makeToken(t, s, "troupe", needed)
	poor := makeToken(t, s, "poor", `key_prefix "other/" { policy = "write" }`)
	if failures := doAll(ctx, t, provider(t, consul.Config{Address: s.Address, Token: consul.Secret(good)}), keys, "n"); len(failures) != 0 {
		t.Errorf("with all that is needed: %v", failures)
	}
	// A node and a document that are there are not to be missed.
	rich := provider(t, consul.Config{Address: s.Address, Token: consul.Secret(good)})
	must(t, rich.Register(ctx, registration("c", "present")))
	must(t, cluster.NewStore(rich, quick()).Put(ctx, cluster.Document{Key: keys.Config()}, []byte("{}")))

	for what, token := range map[string]string{"too little": poor, "no token": "", "an unknown token": "0d0c4a0e-2f6b-4a53-9d0c-3f6f3c1f8a11"} {
		failures := doAll(ctx, t, provider(t, consul.Config{Address: s.Address, Token: consul.Secret(token)}), keys, "n2")
		for _, call := range []string{"put", "get", "list", "register", "beat", "members", "open", "deregister"} {
			err := failures[call]
			unregistered := call == "beat" || call == "deregister" // the agent looks for the node first
			if !errs.Is(errs.Denied, err) && !(unregistered && (err == nil || errs.Is(errs.NotFound, err))) {
				t.Errorf("%s: %s: %v", what, call, err)
			}
			if err != nil && token != "" && strings.Contains(err.Error(), token) {
				t.Errorf("%s: %s tells the token: %v", what, call, err)
			}
			if errors.Is(err, objects.ErrOutcomeUnknown) {
				t.Errorf("%s: %s was refused, and says that the outcome is unknown: %v", what, call, err)
			}
		}
	}

	file := filepath.Join(t.TempDir(), "token")
	p := provider(t, consul.Config{Address: s.Address, TokenFile: file})
	_, _, err := p.Read(ctx, keys.Config(), cluster.Query{})
	wantKind(t, errs.Denied, err)
	must(t, os.WriteFile(file, []byte(poor+"\n"), 0o600))
	_, _, err = p.Read(ctx, keys.Config(), cluster.Query{})
	wantKind(t, errs.Denied, err)
	must(t, os.WriteFile(file, []byte(good+"\n"), 0o600))
	if doc, _, err := p.Read(ctx, keys.Config(), cluster.Query{}); err != nil || !doc.Exists() {
		t.Errorf("%+v, %v", doc, err)
	}
}

// Over TLS, who Consul is is checked, and Consul checks who asks.
func TestTLS(t *testing.T) {
	t.Parallel()
	ctx, keys := within(t), keysOf(t)
	authority, err := process.NewAuthority()
	must(t, err)
	files, err := authority.Issue(t.TempDir(), 1)
	must(t, err)
	stranger, err := process.NewAuthority()
	must(t, err)
	strange, err := stranger.Issue(t.TempDir(), 2)
	must(t, err)
	s := startConsul(t, server.Config{TLS: &files})
	good := consul.Config{Address: s.Address, CAFile: files.Authority, CertFile: files.Cert, KeyFile: files.Key}
	if failures := doAll(ctx, t, provider(t, good), keys, "n"); len(failures) != 0 {
		t.Errorf("over TLS: %v", failures)
	}
	named := good
	named.Address, named.ServerName = "https://"+s.Address, "consul.localhost"
	if failures := doAll(ctx, t, provider(t, named), keys, "n"); len(failures) != 0 {
		t.Errorf("by another name: %v", failures)
	}
	for what, config := range map[string]consul.Config{
		"an unknown authority":            {Address: s.Address, CAFile: strange.Authority, CertFile: files.Cert, KeyFile: files.Key},
		"no certificate":                  {Address: s.Address, CAFile: files.Authority},
		"a certificate of a stranger's":   {Address: s.Address, CAFile: files.Authority, CertFile: strange.Cert, KeyFile: strange.Key},
		"a name that is not the server's": {Address: s.Address, CAFile: files.Authority, CertFile: files.Cert, KeyFile: files.Key, ServerName: "elsewhere.example"},
		"no TLS":                          {Address: "http://" + s.Address},
	} {
		_, _, err := provider(t, config).Read(ctx, keys.Smap(), cluster.Query{})
		if !errs.Is(errs.Offline, err) && !errs.Is(errs.Invalid, err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, config := range map[string]consul.Config{
		"no such file":   {CAFile: filepath.Join(t.TempDir(), "absent")},
		"no certificate": {CAFile: files.Key},
		"a wrong key":    {CertFile: files.Cert, KeyFile: strange.Key},
	} {
		if p, err := consul.New(config); !errs.Is(errs.Invalid, err) {
			t.Errorf("%s is taken: %v, %v", what, p, err)
		}
	}
}

// A server that hangs costs a call its time and no more, and a leader the lead; who
// waits is well again when it goes on.
func TestHangingServer(t *testing.T) {
	t.Parallel()
	ctx, keys := within(t), keysOf(t)
	s := startConsul(t, server.Config{})
	p := provider(t, consul.Config{Address: s.Address, CallTime: 500 * time.Millisecond})
	patient := provider(t, consul.Config{Address: s.Address, CallTime: patience})
	lead := win(t, candidate(t, patient, keys, "a"))
	must(t, s.Pause(ctx))
	_, _, err := p.Read(ctx, keys.Smap(), cluster.Query{})
	wantKind(t, errs.Offline, err)
	err = p.Commit(ctx, 1, []cluster.Write{{Key: keys.Smap(), Value: []byte("{}")}})
	if !errs.Is(errs.Offline, err) || !errors.Is(err, objects.ErrOutcomeUnknown) {
		t.Errorf("a change that was sent and not answered: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, _, err = patient.Read(short, keys.Smap(), cluster.Query{})
	wantKind(t, errs.Canceled, err)
	select {
	case <-lead.Context().Done():
	case <-ctx.Done():
		t.Error("the lead outlives its session")
	}
	closing := make(chan error, 1)
	last := provider(t, consul.Config{Address: s.Address, CallTime: patience})
	go func() {
		_, _, err := last.Read(ctx, keys.Smap(), cluster.Query{})
		closing <- err
	}()
	must(t, last.Close())
	wantKind(t, errs.Offline, <-closing)
	_, _, err = last.Read(ctx, keys.Smap(), cluster.Query{})
	wantKind(t, errs.Offline, err)
	must(t, s.Continue())
	next(t, cluster.WatchHolder(patient, keys.Leader(), quick()), func(cluster.Holder) bool { return true })
}

// Nobody listens: nothing was sent, so nothing is unknown.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	p := provider(t, consul.Config{Address: "127.0.0.1:1"}) // of a service that is no more
	for what, err := range doAll(within(t), t, p, keysOf(t), "n") {
		if !errs.Is(errs.Offline, err) || errors.Is(err, objects.ErrOutcomeUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Consul asks the node by itself, and believes the worse of both answers.
func TestHealthCheck(t *testing.T) {
	t.Parallel()
	w := newConsulWorld(t, shared)
	var status atomic.Int32
	status.Store(http.StatusOK)
	health := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.WriteHeader(int(status.Load()))
		fmt.Fprint(answer, "of the disks, one")
	}))
	t.Cleanup(health.Close)
	id, one := newID(t), "a"+newID(t)
	r := registration(id, one)
	r.HealthURL, r.HealthInterval = health.URL+"/v1/health", time.Second
	watch := cluster.WatchMembers(w.join(t), id, quick())
	p, stop := appear(t, w.join(t), r)
	awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
	status.Store(http.StatusServiceUnavailable)
	members := awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Critical})
	if !strings.Contains(members[0].Reason, "of the disks, one") {
		t.Errorf("the reason is %q", members[0].Reason)
	}
	status.Store(http.StatusOK)
	awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
	stop()
	must(t, p.Leave(within(t)))
}

// An operator who takes the machine out takes out what runs on it.
func TestMachineMaintenance(t *testing.T) {
	t.Parallel()
	w := newConsulWorld(t, own)
	id, one := newID(t), "a"+newID(t)
	watch := cluster.WatchMembers(w.join(t), id, quick())
	appear(t, w.join(t), registration(id, one))
	awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
	to := "-http-addr=" + w.server.Address
	operator(t, "maint", to, "-enable", "-reason=new memory")
	if members := awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Maintenance}); !strings.Contains(members[0].Reason, "new memory") {
		t.Errorf("the reason is %q", members[0].Reason)
	}
	operator(t, "maint", to, "-disable")
	awaitMembers(t, watch, map[string]cluster.Status{one: cluster.Passing})
}

// Operators see nodes and documents with Consul's own program, as docs/cluster.md
// tells.
func TestOperatorsSee(t *testing.T) {
	t.Parallel()
	ctx, keys := within(t), keysOf(t)
	w := newConsulWorld(t, shared)
	n := w.join(t)
	id, one := newID(t), "a"+newID(t)
	appear(t, n, registration(id, one))
	store := cluster.NewStore(n, quick())
	must(t, store.Put(ctx, cluster.Document{Key: keys.Bucket(photos("a b"))}, []byte(`{"version":1}`)))
	to := "-http-addr=" + w.server.Address
	if said := operator(t, "kv", "get", to, "-recurse", keys.All()); strings.TrimSpace(said) != keys.Bucket(photos("a b"))+`:{"version":1}` {
		t.Errorf("consul kv get -recurse:\n%s", said)
	}
	awaitMembers(t, cluster.WatchMembers(n, id, quick()), map[string]cluster.Status{one: cluster.Passing})
	if said := operator(t, "catalog", "services", to, "-tags"); !strings.Contains(said, "troupe") || !strings.Contains(said, "storage") {
		t.Errorf("consul catalog services:\n%s", said)
	}
}

// What cannot work is refused before anyone is asked, with all that is wrong, and no
// form of printing shows the token.
func TestConsulConfig(t *testing.T) {
	const token = "4b1f6a8e-secret"
	config := consul.Config{Address: "ftp://x", Token: token, TokenFile: "f", CertFile: "c", CallTime: -1}
	err := config.Validate()
	wantKind(t, errs.Invalid, err)
	for _, fault := range []string{"ftp://x", "token file", "key", "-1ns"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is not named in %v", fault, err)
		}
	}
	config.Dial = nil
	encoded, jsonErr := json.Marshal(struct{ Token consul.Secret }{config.Token})
	must(t, jsonErr)
	for _, shown := range []string{fmt.Sprintf("%v", config), fmt.Sprintf("%+v", config), fmt.Sprintf("%#v", config), fmt.Sprint(config.Token), string(encoded), err.Error()} {
		if strings.Contains(shown, "secret") {
			t.Errorf("the token is shown: %s", shown)
		}
	}
	for _, good := range []consul.Config{{}, {Address: "unix:///run/consul"}, {Address: "https://h:1"}, {Address: "h:1", CAFile: "f"}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	if err := (consul.Config{Address: "http://h:1", CAFile: "f"}).Validate(); !errs.Is(errs.Invalid, err) {
		t.Errorf("plain HTTP with certificates is taken: %v", err)
	}
}
