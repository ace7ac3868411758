package offline

import (
	"encoding/json"
	"errors"
	"path"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
)

// orphan is a file or a directory that nothing names.
type orphan struct {
	name    string
	payload objects.Generation
	key     objects.Key
	kind    string
}

func (c *checking) orphan(name string, payload objects.Generation, key objects.Key, kind string) {
	if c.Repair {
		c.orphans = append(c.orphans, orphan{name, payload, key, kind})
	}
}

// errNotWhole says why a repair moves nothing.
var errNotWhole = errors.New("the index cannot be read in full, so that what looks like an orphan may be an object: nothing was moved; run troupe storage rebuild")

// quarantine moves orphans to quarantine/, each with its reason, which says where
// it was, so that it can be moved back.
func (c *checking) quarantine() error {
	if len(c.orphans) == 0 {
		return nil
	}
	if c.broken {
		return errNotWhole
	}
	for _, o := range c.orphans {
		to, err := c.freeName(o)
		if err != nil {
			return err
		}
		reason, err := json.MarshalIndent(map[string]any{
			"reason": o.kind, "bucket": o.key.Bucket.Name, "name": layout.Text(o.key.Name), "payload": o.payload.String(),
			"path": layout.Text(o.name), "when": c.Now.UTC(),
		}, "", "  ")
		if err != nil {
			return err
		}
		if err := store.WriteFile(c.mount.FS, to+".reason", append(reason, '\n')); err != nil {
			return err
		}
		if err := c.mount.FS.Rename(o.name, to); err != nil {
			return err
		}
		for _, dir := range []string{layout.QuarantineDir, path.Dir(o.name)} {
			if err := c.mount.FS.SyncDir(dir); err != nil {
				return err
			}
		}
		c.result.Moved++
	}
	return nil
}

// freeName returns a name in quarantine/ that nothing has.
func (c *checking) freeName(o orphan) (string, error) {
	name := layout.QuarantineDir + "/" + o.payload.String()
	for {
		there, err := c.mount.exists(name)
		if err != nil || !there {
			return name, err
		}
		name += "x"
	}
}
