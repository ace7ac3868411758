package cli

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
)

// objectDocument is the JSON of stat of an object.
type objectDocument struct {
	Bucket             string            `json:"bucket"`
	Key                string            `json:"key"`
	Size               int64             `json:"size"`
	ETag               string            `json:"etag"`
	Modified           time.Time         `json:"modified"`
	VersionID          string            `json:"version_id,omitempty"`
	ContentType        string            `json:"content_type,omitempty"`
	ContentEncoding    string            `json:"content_encoding,omitempty"`
	ContentDisposition string            `json:"content_disposition,omitempty"`
	ContentLanguage    string            `json:"content_language,omitempty"`
	CacheControl       string            `json:"cache_control,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
	Tags               map[string]string `json:"tags,omitempty"`
	// Checksums are base64, by S3's names of the algorithms.
	Checksums map[string]string `json:"checksums,omitempty"`
	Receipt   string            `json:"receipt,omitempty"` // X-Troupe-Receipt, where the server tells it of a read
	// Headers are all other headers of the server's answer that begin with x-.
	Headers map[string]string `json:"headers,omitempty"`
}

func statCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:   "stat troupe://BUCKET[/KEY]...",
		Short: "Show everything that is known of an object or a bucket",
		Example: `  troupe stat troupe://photos/2026/cat.jpg
  troupe stat --json troupe://photos/2026/cat.jpg | jq -r .checksums.CRC64NVME`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		c, err := s.S3()
		if err != nil {
			return err
		}
		var done outcomes
		for _, text := range args {
			a, err := parseRemote(text)
			if err != nil {
				return err
			}
			if a.key == "" {
				err = statBucket(ctx, s, c, a.bucket)
			} else {
				err = statObject(ctx, s, c, a)
			}
			done.note(s, err)
			if ctx.Err() != nil {
				return err
			}
		}
		return done.err("")
	})
}

func statObject(ctx context.Context, s *Session, c s3.Client, a address) error {
	o, err := c.Head(ctx, a.bucket, a.key)
	if err != nil {
		return err
	}
	if o.TagCount > 0 {
		if o.Tags, err = c.Tags(ctx, a.bucket, a.key); err != nil {
			return err
		}
	}
	d := objectDocument{
		Bucket: a.bucket, Key: a.key, Size: o.Size, ETag: o.ETag, Modified: o.Modified, VersionID: o.VersionID,
		ContentType: o.ContentType, ContentEncoding: o.ContentEncoding, ContentDisposition: o.ContentDisposition,
		ContentLanguage: o.ContentLanguage, CacheControl: o.CacheControl,
		Metadata: mapOf(o.User), Tags: mapOf(o.Tags), Checksums: map[string]string{}, Headers: map[string]string{},
		Receipt: o.Header.Get("X-Troupe-Receipt"),
	}
	for _, v := range o.Checksums {
		d.Checksums[v.Algorithm.String()] = v.String()
	}
	for name, values := range o.Header {
		lower := strings.ToLower(name)
		known := strings.HasPrefix(lower, "x-amz-meta-") || strings.HasPrefix(lower, "x-amz-checksum-") || lower == "x-troupe-receipt" ||
			lower == "x-amz-request-id" || lower == "x-amz-id-2" || lower == "x-amz-version-id" || lower == "x-amz-tagging-count"
		if strings.HasPrefix(lower, "x-") && !known {
			d.Headers[lower] = strings.Join(values, ", ")
		}
	}
	return s.Out.Document(d, func(w io.Writer) { WriteTable(w, nil, d.rows()) })
}

// rows is the document as a table.
func (d *objectDocument) rows() [][]string {
	var rows [][]string
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{printable(name), printable(value)})
		}
	}
	add("object", s3.Address(d.Bucket, d.Key))
	add("size", strconv.FormatInt(d.Size, 10)+" ("+humanBytes(d.Size)+")")
	add("modified", d.Modified.UTC().Format(time.RFC3339))
	add("etag", d.ETag)
	add("version", d.VersionID)
	add("content type", d.ContentType)
	add("content encoding", d.ContentEncoding)
	add("content disposition", d.ContentDisposition)
	add("content language", d.ContentLanguage)
	add("cache control", d.CacheControl)
	for _, m := range []struct {
		what   string
		values map[string]string
	}{{"metadata ", d.Metadata}, {"tag ", d.Tags}, {"checksum ", d.Checksums}, {"", d.Headers}} {
		for _, name := range sortedNames(m.values) {
			add(m.what+name, m.values[name])
		}
	}
	add("receipt", d.Receipt)
	return rows
}

func mapOf(pairs []objects.Pair) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		m[p.Name] = p.Value
	}
	return m
}

// presigned is the JSON of presign.
type presigned struct {
	URL     string    `json:"url"`
	Method  string    `json:"method"`
	Expires time.Time `json:"expires"`
}

func presignCommand(f *frame) *cobra.Command {
	var method string
	var expires time.Duration
	command := f.client(&cobra.Command{
		Use:   "presign troupe://BUCKET/KEY",
		Short: "Make a URL with which anybody may read or write one object",
		Long: `Make a URL with which anybody may read (GET, HEAD), write (PUT) or delete (DELETE) one object until it
expires. It is signed here; no server is asked, so the object need not exist.`,
		Example: `  troupe presign troupe://photos/2026/cat.jpg
  curl -fT cat.jpg "$(troupe presign --method PUT --expires 10m troupe://photos/2026/cat.jpg)"`,
		Args: cobra.ExactArgs(1),
	}, func(_ context.Context, s *Session, args []string) error {
		a, err := parseObject(args[0])
		if err != nil {
			return err
		}
		method = strings.ToUpper(method)
		switch method {
		case "GET", "HEAD", "PUT", "DELETE":
		default:
			return Usage("--method is GET, HEAD, PUT or DELETE, not %q", method)
		}
		if expires < time.Second || expires > 7*24*time.Hour {
			return Usage("--expires is 1s to 168h (7 days), not %s", expires)
		}
		c, err := s.S3()
		if err != nil {
			return err
		}
		now := time.Now()
		url, err := c.Presign(sigv4.NewSigner(s.keys.Credentials, s.region), method, a.bucket, a.key, now, expires)
		if err != nil {
			return err
		}
		return s.Out.Document(presigned{url, method, now.Add(expires).UTC().Truncate(time.Second)}, func(w io.Writer) { io.WriteString(w, url+"\n") }) //nolint:errcheck // a strings.Builder
	})
	command.Flags().StringVarP(&method, "method", "X", "GET", "GET, HEAD, PUT or DELETE")
	command.Flags().DurationVarP(&expires, "expires", "e", time.Hour, "how long the URL is good: 1s to 168h")
	return command
}
