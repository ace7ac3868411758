package cli

import (
	"context"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/s3"
)

// removed is a JSON line of rm.
type removed struct {
	Op     string `json:"op"` // "delete"
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Status string `json:"status"` // "done", "planned", "failed"
	Error  string `json:"error,omitempty"`
}

func removeCommand(f *frame) *cobra.Command {
	var (
		recursive, dryRun bool
		uploads           bool
		parallel          int
		chosen            filter
	)
	command := f.client(&cobra.Command{
		Use:   "rm troupe://BUCKET/KEY...",
		Short: "Delete objects",
		Long: `Delete objects. An object that is not there counts as deleted, and what lies below
KEY/ is left where it is. With --recursive a
KEY is taken for a directory: what begins with KEY/ goes; of a bucket, everything.

With --uploads objects stay, and uploads in parts to those keys that have not ended are
aborted; the same command as before begins such an upload anew.`,
		Example: `  troupe rm troupe://photos/2025/cat.jpg
  troupe rm --recursive --dry-run troupe://photos/2025
  troupe rm --recursive --include '*.tmp' troupe://photos
  troupe rm --recursive --uploads troupe://photos`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		if err := checkParallel(parallel); err != nil {
			return err
		}
		var targets []address
		for _, text := range args {
			a, err := parseRemote(text)
			if err != nil {
				return err
			}
			if a.key == "" && !recursive {
				return Advise(Usage("%s names a bucket", text), "--recursive deletes every object in it; `troupe rb` removes the bucket")
			}
			targets = append(targets, a)
		}
		c, err := s.S3()
		if err != nil {
			return err
		}
		if uploads {
			for _, a := range targets {
				if err := abortUploads(ctx, s, c, a, recursive, dryRun, &chosen); err != nil {
					return err
				}
			}
			return nil
		}
		d := deletion{client: c, parallel: parallel, dryRun: dryRun}
		tell := func(r removed, failure error) error {
			if failure != nil {
				r.Status, r.Error = "failed", failure.Error()
				if !s.Out.JSON {
					s.Out.Warn("troupe: %s", printable(failure.Error()))
					return nil
				}
			}
			verb := map[string]string{"done": "deleted ", "planned": "would delete "}[r.Status]
			return s.Out.result(r, verb+s3.Address(r.Bucket, r.Key))
		}
		if !recursive {
			for _, a := range targets {
				if err := d.key(ctx, a.bucket, a.key, tell); err != nil {
					return err
				}
			}
			if err := d.end(ctx, tell); err != nil {
				return err
			}
			s.hintBelow(ctx, c, targets)
			return nil
		}
		for _, a := range targets {
			if err := d.walk(ctx, s3.Listing{Bucket: a.bucket, Prefix: a.below()}, &chosen, tell); err != nil {
				return err
			}
		}
		return d.err()
	})
	flags := command.Flags()
	flags.BoolVarP(&recursive, "recursive", "r", false, "everything below")
	flags.BoolVarP(&dryRun, "dry-run", "n", false, "say what would be deleted, and delete nothing")
	flags.BoolVar(&uploads, "uploads", false, "abort uploads in parts that have not ended, instead of deleting objects")
	addParallel(flags, &parallel)
	chosen.add(flags)
	return command
}

const (
	// hintedTargets is how many targets of rm are looked below: as many as a person
	// names. What a program names costs no listings.
	hintedTargets = 16
	// hintTime bounds looking below all of them.
	hintTime = 2 * time.Second
)

// hintBelow tells of targets of rm below which something is left: S3 does not say
// whether there was an object of that key, and somebody may have taken it for a
// directory. What cannot be listed in time is not told of, for the deletion is done.
func (s *Session) hintBelow(ctx context.Context, c s3.Client, targets []address) {
	if s.Out.JSON || s.Quiet() || len(targets) > hintedTargets {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hintTime)
	defer cancel()
	for _, a := range targets {
		for entry, err := range c.Walk(ctx, s3.Listing{Bucket: a.bucket, Prefix: a.below(), Page: 2}) {
			if err != nil {
				return
			}
			if entry.Key == a.key { // a marker that is to be deleted
				continue
			}
			s.Out.Note("troupe: what lies below %s is still there: `troupe rm --recursive %s` deletes it",
				printable(s3.Address(a.bucket, a.below())), printable(s3.Address(a.bucket, a.key)))
			break
		}
	}
}

// deletion deletes keys in batches, several at a time. walk, key and end are
// called by one goroutine.
type deletion struct {
	client   s3.Client
	parallel int
	dryRun   bool

	bucket string
	keys   []string
	group  *crew

	mutex  sync.Mutex
	done   int
	failed int
	first  error
}

// teller is told what became of a key; it may be nil. Calls take turns.
type teller func(r removed, failure error) error

// walk deletes what a listing yields and a filter chooses, and waits for it.
func (d *deletion) walk(ctx context.Context, l s3.Listing, chosen *filter, tell teller) error {
	for entry, err := range d.client.Walk(ctx, l) {
		if err == nil && chosen.chooses(entry.Key[len(l.Prefix):]) {
			err = d.key(ctx, l.Bucket, entry.Key, tell)
		}
		if err != nil {
			d.end(ctx, tell) //nolint:errcheck // the first error is the one that matters
			return err
		}
	}
	return d.end(ctx, tell)
}

// key takes a key; it goes with its batch.
func (d *deletion) key(ctx context.Context, bucket, key string, tell teller) error {
	if d.bucket != bucket && len(d.keys) > 0 {
		d.send(ctx, tell)
	}
	d.bucket = bucket
	d.keys = append(d.keys, key)
	if len(d.keys) == s3.MaxDeletes {
		d.send(ctx, tell)
		if err := d.group.failed(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// end sends what is left and waits for all batches.
func (d *deletion) end(ctx context.Context, tell teller) error {
	if len(d.keys) > 0 && ctx.Err() == nil {
		d.send(ctx, tell)
	}
	if d.group != nil {
		if err := d.group.Wait(); err != nil {
			return err
		}
		d.group = nil
	}
	return d.err()
}

// send sends a batch on its way.
func (d *deletion) send(ctx context.Context, tell teller) {
	if d.group == nil {
		d.group = newCrew(d.parallel)
	}
	bucket, keys := d.bucket, d.keys
	d.keys = nil
	d.group.Go(func() error {
		var failed map[string]error
		status := "planned"
		if !d.dryRun {
			status = "done"
			var err error
			if failed, err = d.client.DeleteMany(ctx, bucket, keys); err != nil {
				return err // all of the batch: the server is away, or denies
			}
		}
		d.mutex.Lock()
		defer d.mutex.Unlock()
		for _, key := range keys {
			failure := failed[key]
			if failure == nil {
				d.done++
			} else {
				d.failed++
				if d.first == nil {
					d.first = failure
				}
			}
			if tell != nil {
				if err := tell(removed{Op: "delete", Bucket: bucket, Key: key, Status: status}, failure); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// deleted returns how many keys went.
func (d *deletion) deleted() int {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.done
}

// err returns what the keys that did not go come to.
func (d *deletion) err() error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.failed == 0 {
		return nil
	}
	return &Partly{Done: d.done, Failed: d.failed, First: d.first, Resume: "run the same command again for those that are left"}
}
