package auth

import (
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/cipher"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Opener opens secrets of users; *cipher.Seals.
type Opener interface {
	Open(by cipher.Fingerprint, sealed []byte, additional string) ([]byte, error)
}

// directory is who may sign, as it is at one time. Immutable.
type directory struct {
	pairs      map[string]pair // by access key; those that are disabled are not in it
	principals map[*objects.Account]*Principal
	opened     map[*objects.Account]map[string]string // secrets by access key, of documents whose seal is known
	sealed     int                                    // documents whose seal is not known
}

// Directory knows users by their access keys, with their secrets open: in memory, and
// nowhere else. Safe for concurrent use; readers take no lock.
type Directory struct {
	now func() time.Time
	log *logrus.Entry

	mu       sync.Mutex // guards the order of changes
	accounts *objects.Accounts
	opener   Opener
	told     map[string]uint64 // versions of documents by name, of which the log has said that they cannot be opened
	current  atomic.Pointer[directory]
}

// NewDirectory returns a directory of nobody, by the wall clock given.
func NewDirectory(opener Opener, now func() time.Time, log *logrus.Entry) *Directory {
	d := &Directory{now: now, log: log, opener: opener, told: make(map[string]uint64)}
	d.current.Store(&directory{})
	return d
}

// Show puts accounts in force from the next request on.
func (d *Directory) Show(accounts *objects.Accounts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts = accounts
	d.current.Store(d.build(d.current.Load()))
}

// OpenWith has secrets opened by other seals.
func (d *Directory) OpenWith(opener Opener) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opener = opener
	d.current.Store(d.build(&directory{}))
}

// build makes the directory of the accounts, out of the one before as far as those are the
// same documents. With mu held.
func (d *Directory) build(before *directory) *directory {
	next := &directory{
		pairs: make(map[string]pair), principals: make(map[*objects.Account]*Principal),
		opened: make(map[*objects.Account]map[string]string),
	}
	for _, doc := range d.accounts.All(objects.AccountUser) {
		account := doc
		if doc.User.Of != "" {
			if account = d.accounts.Find(objects.AccountUser, doc.User.Of); account == nil {
				continue // nobody's; Accounts.Check does not let it come to that
			}
		}
		secrets, known := before.opened[doc]
		if !known {
			var err error
			if secrets, err = d.open(doc); err != nil {
				next.sealed++
				d.tell(doc, err)
			} else {
				known = true
			}
		}
		if known {
			next.opened[doc] = secrets
		}
		if doc.User.Disabled || account.User.Disabled {
			continue // all of its keys are unknown
		}
		principal := principalOf(doc, account)
		next.principals[doc] = principal
		for i := range doc.User.Keys {
			if key := &doc.User.Keys[i]; !key.Disabled {
				next.pairs[key.ID] = pair{principal, secrets[key.ID], key.Expires}
			}
		}
	}
	return next
}

func principalOf(doc, account *objects.Account) *Principal {
	p := &Principal{Name: doc.Name, Account: account.Name, ID: account.User.ID, Number: account.User.Number, User: doc.User}
	p.ARN = "arn:aws:iam::" + p.Number + ":root"
	if doc != account {
		path := doc.User.Path
		if path == "" {
			path = "/"
		}
		p.ARN = "arn:aws:iam::" + p.Number + ":user" + path + doc.Name
	}
	return p
}

// open opens the secrets of a user.
func (d *Directory) open(doc *objects.Account) (map[string]string, error) {
	secrets := make(map[string]string, len(doc.User.Keys))
	if len(doc.User.Keys) == 0 {
		return secrets, nil
	}
	var by cipher.Fingerprint
	if err := by.UnmarshalText([]byte(doc.User.Seal)); err != nil {
		return nil, err
	}
	for i := range doc.User.Keys {
		key := &doc.User.Keys[i]
		secret, err := d.opener.Open(by, key.Sealed, key.ID)
		if err != nil {
			return nil, err
		}
		secrets[key.ID] = string(secret)
	}
	return secrets, nil
}

// tell has the log say, once for each version of a document, that nobody can sign with it.
func (d *Directory) tell(doc *objects.Account, cause error) {
	if d.told[doc.Name] >= doc.Version {
		return
	}
	d.told[doc.Name] = doc.Version
	d.log.WithError(cause).WithFields(logrus.Fields{"event": "seal-unknown", "user": doc.Name, "seal": doc.User.Seal}).
		Error("the secrets of a user cannot be opened with the seed that this node has; who signs with them is answered 503")
}

// Sealed is how many users there are whose secrets cannot be opened.
func (d *Directory) Sealed() int { return d.current.Load().sealed }

// find returns the pair of an access key that may sign now.
func (d *Directory) find(accessKey string) (pair, bool) {
	p, ok := d.current.Load().pairs[accessKey]
	if ok && !p.expires.IsZero() && !d.now().Before(p.expires) {
		return pair{}, false
	}
	return p, ok
}

// NodeCredentials are those of a node: the root pair, before that users.
type NodeCredentials struct {
	Root  *RootKeys
	Users *Directory
}

// Secret implements Credentials.
func (c NodeCredentials) Secret(accessKey string) (string, bool) {
	if secret, ok := c.Root.Secret(accessKey); ok {
		return secret, true
	}
	p, ok := c.Users.find(accessKey)
	return p.secret, ok && p.secret != ""
}

// Principal implements Credentials.
func (c NodeCredentials) Principal(accessKey string) (*Principal, string) {
	if p, secret := c.Root.Principal(accessKey); p != nil {
		return p, secret
	}
	p, ok := c.Users.find(accessKey)
	if !ok {
		return nil, ""
	}
	return p.principal, p.secret
}

// Unknown implements Credentials.
func (c NodeCredentials) Unknown(accessKey string) error {
	if p, ok := c.Users.find(accessKey); ok && p.secret == "" {
		return errs.E(opAuthenticate, accessKey, errs.Offline, errors.New("the secret of this access key was sealed with a seed that this node does not have"))
	}
	return nil
}

// NewAccessKey makes an access key: 20 letters and digits, of which 80 bits are random.
func NewAccessKey() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	random := cipher.RandomKey()
	id := []byte("TRKA")
	for _, b := range random.Bytes()[:16] {
		id = append(id, letters[b%32])
	}
	return string(id)
}

// NewSecretKey makes a secret key: 40 hexadecimal digits, 160 bits.
func NewSecretKey() string {
	random := cipher.RandomKey()
	return hex.EncodeToString(random.Bytes()[:20])
}
