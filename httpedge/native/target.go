package native

import (
	"errors"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects"
)

// target is the bucket, and perhaps the object, that a request is about.
type target struct {
	bucket ais.Bucket
	name   string // of the object; decoded once, never cleaned
}

// String returns the target as clients look for it in texts: "ais://b/dir/obj".
func (t target) String() string {
	if t.name == "" {
		return t.bucket.String()
	}
	return t.bucket.String() + "/" + t.name
}

// parseNamespace reads "@uuid#name"; empty is the global namespace.
func parseNamespace(s string) (ais.Namespace, error) {
	bad := Refuse(fasthttp.StatusBadRequest, "", "invalid namespace %q: it is written @UUID#NAME", s)
	if s == "" {
		return ais.Namespace{}, nil
	}
	s, ok := strings.CutPrefix(s, "@")
	if !ok {
		return ais.Namespace{}, bad
	}
	uuid, name, _ := strings.Cut(s, "#")
	if len(uuid) > 32 || len(name) > 64 || strings.ContainsAny(uuid+name, "/@#") || strings.Contains(name, "..") {
		return ais.Namespace{}, bad
	}
	return ais.Namespace{UUID: uuid, Name: name}, nil
}

// bucketNamed reads the bucket's provider and namespace out of the query. Whether
// there is such a bucket is not looked at.
func (r *Request) bucketNamed(name string) (ais.Bucket, error) {
	provider, ok := ais.ParseProvider(r.Query("provider"))
	if !ok {
		return ais.Bucket{}, Refuse(fasthttp.StatusBadRequest, "", "invalid bucket provider %q", r.Query("provider"))
	}
	namespace, err := parseNamespace(r.Query("namespace"))
	if err != nil {
		return ais.Bucket{}, err
	}
	return ais.Bucket{Name: name, Provider: provider, Namespace: namespace}, nil
}

// object reads the bucket and the object that the path names: everything behind
// the bucket, slashes and all, is the object.
func (r *Request) object() (target, error) {
	rawBucket, rawName, _ := strings.Cut(r.rest, "/")
	bucketName, err := decode(rawBucket)
	if err != nil || bucketName == "" {
		return target{}, Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: no bucket is named", r.path)
	}
	name, err := decode(rawName)
	if err != nil {
		return target{}, Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: the object name is not well encoded UTF-8", r.path)
	}
	if name == "" {
		return target{}, Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: no object is named", r.path)
	}
	bucket, err := r.bucketNamed(bucketName)
	t := target{bucket: bucket, name: name}
	if err == nil && len(name) > objects.MaxNameBytes {
		err = Refuse(fasthttp.StatusBadRequest, "", "invalid object name: %d bytes, at most %d", len(name), objects.MaxNameBytes)
	}
	return t, err
}

// find returns the document of a bucket, or says that there is none in the words
// that fit where it was looked for.
func (r *Request) find(bucket ais.Bucket) (*objects.BucketDoc, error) {
	if bucket.Provider != ais.ProviderAIS || !bucket.Namespace.IsGlobal() {
		return nil, noSuchBucket(bucket)
	}
	doc, err := r.h.Gateway.Bucket(bucket.Name)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		return nil, noSuchBucket(bucket)
	}
	return doc, err
}

func noSuchBucket(bucket ais.Bucket) *Refusal {
	switch {
	case bucket.Provider != ais.ProviderAIS:
		return Refuse(fasthttp.StatusNotFound, typeRemoteNotFound, "%s bucket %q does not exist", bucket.Provider, bucket)
	case bucket.Namespace.UUID != "":
		return Refuse(fasthttp.StatusNotFound, typeRemoteNotFound, "remote cluster %q is not attached: bucket %q does not exist", bucket.Namespace.UUID, bucket)
	}
	return Refuse(fasthttp.StatusNotFound, typeBucketNotFound, "bucket %q does not exist", bucket)
}

// explain puts a failure of the gateway about a target into AIStore's words.
func explain(err error, t target) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, objects.ErrNoSuchBucket):
		return noSuchBucket(t.bucket)
	case errors.Is(err, objects.ErrNoSuchKey):
		return Refuse(fasthttp.StatusNotFound, typeNotFound, "%s does not exist", t)
	case errors.Is(err, objects.ErrBucketExists):
		return Refuse(fasthttp.StatusConflict, typeBucketExists, "bucket %q already exists", t.bucket)
	}
	return err
}

// checkNewName says why AIStore refuses a name for a new object. What is refused
// here can still be made through S3, and then read, listed and deleted here.
func checkNewName(t target) error {
	bad := func(why string) error {
		return Refuse(fasthttp.StatusBadRequest, "", "invalid object name %q: %s", t.name, why)
	}
	switch {
	case strings.HasSuffix(t.name, "/"):
		return bad("it must not end in a slash")
	case strings.HasPrefix(t.name, "~/"):
		return bad("it must not begin with ~/")
	}
	for part := range strings.SplitSeq(t.name, "/") {
		if part == "." || part == ".." {
			return bad("no part of it may be . or ..")
		}
	}
	return nil
}
