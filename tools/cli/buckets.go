package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

// S3 returns a client of the S3 endpoint. Not to be called concurrently.
func (s *Session) S3() (s3.Client, error) {
	c, err := s.connect(s.endpoint)
	return s3.Client{Connection: c}, err
}

// bucketDone is the JSON of mb and rb.
type bucketDone struct {
	Op      string `json:"op"` // "make", "remove"
	Bucket  string `json:"bucket"`
	Existed bool   `json:"existed,omitempty"` // make --ignore-existing: it was there
	Objects int    `json:"objects,omitempty"` // remove --force: how many were deleted first
}

func makeBucketCommand(f *frame) *cobra.Command {
	ignore := false
	var options s3.BucketOptions
	command := f.client(&cobra.Command{
		Use:   "mb troupe://BUCKET...",
		Short: "Make buckets",
		Example: `  troupe mb troupe://photos
  troupe mb --ignore-existing troupe://photos troupe://films
  troupe mb --copies 2 troupe://kept-on-two-nodes`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		buckets, err := parseBuckets(args)
		if err != nil {
			return err
		}
		c, err := s.S3()
		if err != nil {
			return err
		}
		var done outcomes
		for _, bucket := range buckets {
			existed, err := makeBucket(ctx, c, bucket, options)
			if existed && !ignore {
				err = Advise(errs.E("make bucket", s3.Address(bucket, ""), errs.Exists, errors.New("there is such a bucket already")),
					"it can be used as it is; `troupe mb --ignore-existing` takes that for success")
			}
			if !done.note(s, err) {
				continue
			}
			text := "made " + s3.Address(bucket, "")
			if existed {
				text = s3.Address(bucket, "") + " was there"
			}
			if err := s.Out.result(bucketDone{Op: "make", Bucket: bucket, Existed: existed}, text); err != nil {
				return err
			}
		}
		return done.err("")
	})
	command.Flags().BoolVar(&ignore, "ignore-existing", false, "a bucket of yours that exists is no error")
	command.Flags().IntVar(&options.Copies, "copies", 0, "on how many nodes of a cluster each object is kept; default 1")
	command.Flags().IntVar(&options.MinCopies, "min-copies", 0, "on how many a write must be before it is acknowledged, while others are down; default 1 for two copies, else most of them")
	command.Flags().StringVar(&options.Reads, "reads", "", "confirmed: what is read is never old; relaxed: it may be")
	return command
}

// makeBucket makes a bucket that may exist. S3 answers that it was made in some
// regions even if it was there, so it is looked for first.
func makeBucket(ctx context.Context, c s3.Client, bucket string, options s3.BucketOptions) (existed bool, err error) {
	if _, err := c.HeadBucket(ctx, bucket); err == nil {
		return true, nil
	}
	err = c.CreateBucketWith(ctx, bucket, options) // what is wrong otherwise, this says with more words
	if client.Code(err) == "BucketAlreadyOwnedByYou" {
		return true, nil // somebody else has made it meanwhile
	}
	return false, err
}

func removeBucketCommand(f *frame) *cobra.Command {
	force := false
	command := f.client(&cobra.Command{
		Use:   "rb troupe://BUCKET...",
		Short: "Remove buckets that are empty, or with --force whatever is in them",
		Example: `  troupe rb troupe://photos
  troupe rb --force troupe://scratch`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		buckets, err := parseBuckets(args)
		if err != nil {
			return err
		}
		c, err := s.S3()
		if err != nil {
			return err
		}
		var done outcomes
		for _, bucket := range buckets {
			deleted := 0
			var err error
			if force {
				d := deletion{client: c, parallel: defaultParallel}
				err = d.walk(ctx, s3.Listing{Bucket: bucket}, &filter{}, nil)
				deleted = d.deleted()
			}
			if err == nil {
				err = c.DeleteBucket(ctx, bucket)
			}
			if !done.note(s, err) {
				continue
			}
			text := "removed " + s3.Address(bucket, "")
			if deleted > 0 {
				text += " and " + count(deleted, "object")
			}
			if err := s.Out.result(bucketDone{Op: "remove", Bucket: bucket, Objects: deleted}, text); err != nil {
				return err
			}
		}
		return done.err("")
	})
	command.Flags().BoolVar(&force, "force", false, "delete every object of the bucket first; nothing brings them back")
	return command
}

func parseBuckets(args []string) ([]string, error) {
	var buckets []string
	for _, text := range args {
		bucket, err := parseBucket(text)
		if err != nil {
			return nil, err
		}
		buckets = append(buckets, bucket)
	}
	return buckets, nil
}

// result tells of one thing that was done: a line of JSON, or a line for people
// unless --quiet.
func (o *Output) result(value any, text string) error {
	if o.quiet && !o.JSON {
		return nil
	}
	return o.Line(value, printable(text))
}

// outcomes counts what became of several things. Belongs to one goroutine.
type outcomes struct {
	done, failed int
	first        error
}

// note counts one; it tells of a failure, and says whether it was none.
func (o *outcomes) note(s *Session, err error) bool {
	if err == nil {
		o.done++
		return true
	}
	o.failed++
	if o.first == nil {
		o.first = err
	} else {
		s.Out.Warn("troupe: %s", printable(err.Error()))
	}
	return false
}

// err returns what all of it comes to. A single thing that failed is its own error.
func (o *outcomes) err(resume string) error {
	switch {
	case o.failed == 0:
		return nil
	case o.done == 0 && o.failed == 1:
		return o.first
	}
	return errors.Join(&Partly{Done: o.done, Failed: o.failed, First: o.first, Resume: resume}, o.first)
}

// bucketDocument is the JSON of stat of a bucket.
type bucketDocument struct {
	Bucket string `json:"bucket"`
	Region string `json:"region,omitempty"`
}

// statBucket describes a bucket.
func statBucket(ctx context.Context, s *Session, c s3.Client, bucket string) error {
	h, err := c.HeadBucket(ctx, bucket)
	if errs.Is(errs.NotFound, err) {
		return Advise(err, "list the buckets with `troupe ls`, or make it with `troupe mb`")
	}
	if err != nil {
		return err
	}
	d := bucketDocument{Bucket: bucket, Region: h.Get("x-amz-bucket-region")}
	return s.Out.Document(d, func(w io.Writer) {
		WriteTable(w, nil, [][]string{{"bucket", d.Bucket}, {"region", first(d.Region, "not said")}})
	})
}
