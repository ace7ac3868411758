package supervisors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/cipher"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MinSealKeyBytes is the least size of a file of a seed.
const MinSealKeyBytes = 32

// accounts are the users of a node: their documents, and who may sign because of them.
type accounts struct {
	node      *Node
	clusterID string
	documents *embedded.Accounts
	directory *auth.Directory
	seals     atomic.Pointer[cipher.Seals]
	seed      []byte // that of the seal in force
	// agreed changes a document: among all nodes, or on the disks of a node that is alone.
	agreed func(context.Context, func(*objects.Accounts) (*objects.Account, error)) (*objects.Account, error)
}

// openAccounts takes up the accounts that are on the disks, before there are listeners.
func (n *Node) openAccounts(documents *embedded.Documents, registry prometheus.Registerer) error {
	a := &accounts{node: n, clusterID: documents.Node().ClusterID}
	current, err := n.seed(n.config)
	if err != nil {
		return err
	}
	var before [][]byte
	if n.config.SealKeyFileBefore != "" {
		seed, err := readSeed(n.config.SealKeyFileBefore)
		if err != nil {
			return err
		}
		before = append(before, seed)
	}
	if err := a.setSeed(current, before...); err != nil {
		return err
	}
	a.directory = auth.NewDirectory(a.seals.Load(), n.clock.Now, n.log)
	var unread []error
	a.documents, unread = documents.Accounts(n.clock)
	for _, err := range unread {
		n.log.WithError(err).Error("the document of a user, policy or role cannot be read or brought up to date; it is left alone")
	}
	a.documents.Adopted = a.directory.Show
	a.directory.Show(a.documents.Accounts())
	a.agreed = a.documents.ChangeAccount
	n.accounts = a
	if err := registry.Register(newAccountMetrics(a)); err != nil {
		return err
	}
	if n.config.hasDefaultKeys() && n.config.SealKeyFile == "" && n.cluster == nil && a.documents.Accounts().Len() > 0 {
		n.log.Warn("secrets of users are sealed with the default root secret key, which everybody knows: set another one, or seal-key-file")
	}
	if n.cluster == nil {
		return a.mendAll()
	}
	n.cluster.accounts, err = member.NewAccounts(member.AccountsConfig{
		Provider: n.cluster.provider, ClusterID: a.clusterID, Shelf: a.documents, View: n.cluster.view.Load, Mend: a.mend, Clock: n.clock, Log: n.log,
	})
	if err == nil {
		a.agreed = n.cluster.accounts.ChangeAccount
	}
	return err
}

// seed is what the seal of a node with such settings is computed from.
func (n *Node) seed(c Config) ([]byte, error) {
	switch {
	case c.SealKeyFile != "":
		return readSeed(c.SealKeyFile)
	case n.cluster != nil:
		return n.cluster.secret, nil
	}
	return []byte(c.RootSecretKey), nil
}

// readSeed reads a file of a seed. The error names the file and says nothing of what is in it.
func readSeed(file string) ([]byte, error) {
	const op errs.Op = "supervisors.readSeed"
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, errs.E(op, file, errs.Invalid, err)
	}
	text = bytes.TrimSpace(text)
	if len(text) < MinSealKeyBytes {
		return nil, errs.E(op, file, errs.Invalid, fmt.Errorf("it holds %d bytes; at least %d, at random (openssl rand -hex 32)", len(text), MinSealKeyBytes))
	}
	return text, nil
}

// setSeed puts the seal of a seed in force, and opens what those before have sealed.
func (a *accounts) setSeed(seed []byte, before ...[]byte) error {
	current, err := cipher.NewSeal(seed, a.clusterID)
	if err != nil {
		return err
	}
	var others []*cipher.Seal
	for _, b := range before {
		other, err := cipher.NewSeal(b, a.clusterID)
		if err != nil {
			return err
		}
		others = append(others, other)
	}
	a.seed = seed
	a.seals.Store(cipher.NewSeals(current, others...))
	return nil
}

// seedChanged seals anew what a root secret key of before has sealed, if that was the seed.
func (a *accounts) seedChanged(c Config) error {
	seed, err := a.node.seed(c)
	if err != nil || bytes.Equal(seed, a.seed) {
		return err
	}
	before := [][]byte{a.seed}
	if c.SealKeyFileBefore != "" {
		other, err := readSeed(c.SealKeyFileBefore)
		if err != nil {
			return err
		}
		before = append(before, other)
	}
	if err := a.setSeed(seed, before...); err != nil {
		return err
	}
	a.directory.OpenWith(a.seals.Load())
	return a.mendAll()
}

// mend returns a user whose secrets are sealed anew; nil: they need not be, or cannot.
func (a *accounts) mend(doc *objects.Account) *objects.Account {
	seals := a.seals.Load()
	if doc.User == nil || len(doc.User.Keys) == 0 || doc.User.Seal == seals.Current().Fingerprint().String() {
		return nil
	}
	var by cipher.Fingerprint
	if by.UnmarshalText([]byte(doc.User.Seal)) != nil {
		return nil
	}
	user := *doc.User
	user.Keys = make([]objects.AccessKey, len(doc.User.Keys))
	for i, key := range doc.User.Keys {
		secret, err := seals.Open(by, key.Sealed, key.ID)
		if err != nil {
			return nil // the directory has said so
		}
		key.Sealed = seals.Current().Seal(secret, key.ID)
		user.Keys[i] = key
	}
	user.Seal = seals.Current().Fingerprint().String()
	return &objects.Account{Kind: doc.Kind, Name: doc.Name, User: &user}
}

// mendAll mends the documents of a node that is alone.
func (a *accounts) mendAll() error {
	mended := 0
	for _, doc := range a.documents.Accounts().Documents() {
		if a.mend(doc) == nil {
			continue
		}
		_, err := a.documents.ChangeAccount(context.Background(), func(all *objects.Accounts) (*objects.Account, error) {
			if now := all.Find(doc.Kind, doc.Name); now != nil {
				return a.mend(now), nil
			}
			return nil, nil
		})
		if err != nil {
			return errs.E("supervisors.mendAll", doc.ID(), fmt.Errorf("its secrets could not be sealed anew; start with seal-key-file-before: %w", err))
		}
		mended++
	}
	if mended > 0 {
		a.node.log.WithFields(logrus.Fields{"users": mended, "seal": a.seals.Load().Current().Fingerprint().String()}).Info("secrets of users were sealed anew")
	}
	return nil
}

// Accounts returns the node's users, policies and roles, as far as it has adopted them.
func (n *Node) Accounts() *objects.Accounts { return n.accounts.documents.Accounts() }

// SealSecret seals the secret of an access key for a document of accounts, and tells the
// fingerprint of the seal.
func (n *Node) SealSecret(accessKey, secret string) (sealed []byte, seal string) {
	current := n.accounts.seals.Load().Current()
	return current.Seal([]byte(secret), accessKey), current.Fingerprint().String()
}

// ChangeAccount changes one document of a user, a policy or a role: change makes it out of
// all that there are, may be called again, and leaves Version to be set; nil changes
// nothing. When it returns, all nodes that are up go by it. Nobody may have the access key
// of the root pair. Errors: see member.Accounts.ChangeAccount.
func (n *Node) ChangeAccount(ctx context.Context, change func(*objects.Accounts) (*objects.Account, error)) (*objects.Account, error) {
	doc, err := n.accounts.agreed(ctx, func(all *objects.Accounts) (*objects.Account, error) {
		doc, err := change(all)
		if err != nil || doc == nil || doc.User == nil {
			return doc, err
		}
		for i := range doc.User.Keys {
			if doc.User.Keys[i].ID == n.keys.Current().AccessKey {
				return nil, errs.E("supervisors.ChangeAccount", doc.ID(), errs.Exists, errors.New("its access key is that of the root pair"))
			}
		}
		return doc, nil
	})
	if err == nil && doc != nil {
		n.log.WithFields(logrus.Fields{"event": "account-changed", "kind": string(doc.Kind), "name": doc.Name, "version": doc.Version}).Info("a user, a policy or a role was changed")
	}
	return doc, err
}

// accountMetrics collects how many accounts there are.
type accountMetrics struct {
	accounts *accounts
	count    *prometheus.Desc
	sealed   *prometheus.Desc
}

func newAccountMetrics(a *accounts) *accountMetrics {
	return &accountMetrics{
		accounts: a,
		count:    prometheus.NewDesc("troupe_accounts", "Users, policies and roles that this node has adopted.", []string{"kind"}, nil),
		sealed:   prometheus.NewDesc("troupe_accounts_sealed", "Users whose secrets this node cannot open: they were sealed with another seed.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *accountMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.count
	out <- m.sealed
}

// Collect implements prometheus.Collector.
func (m *accountMetrics) Collect(out chan<- prometheus.Metric) {
	all := m.accounts.documents.Accounts()
	for _, kind := range objects.AccountKinds() {
		out <- prometheus.MustNewConstMetric(m.count, prometheus.GaugeValue, float64(len(all.All(kind))), string(kind))
	}
	out <- prometheus.MustNewConstMetric(m.sealed, prometheus.GaugeValue, float64(m.accounts.directory.Sealed()))
}
