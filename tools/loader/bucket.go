package loader

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// CreateBucket makes the load's bucket through S3. One that exists and is the
// caller's is taken as it is; created says which it was.
func CreateBucket(ctx context.Context, load Load) (created bool, err error) {
	answer, document, err := askBucket(ctx, load, "PUT")
	if err != nil {
		return false, errs.E("loader.CreateBucket", load.Bucket, err)
	}
	switch code := element(document, "Code"); {
	case answer.status == 200:
		return true, nil
	case answer.status == 409 && code == "BucketAlreadyOwnedByYou":
		return false, nil
	default:
		return false, errs.E("loader.CreateBucket", load.Bucket, errs.Conflict,
			fmt.Errorf("status %d %s %s", answer.status, code, element(document, "Message")))
	}
}

// RemoveBucket deletes the load's bucket, which must be empty, through S3.
func RemoveBucket(ctx context.Context, load Load) error {
	answer, document, err := askBucket(ctx, load, "DELETE")
	if err != nil {
		return errs.E("loader.RemoveBucket", load.Bucket, err)
	}
	if answer.status != 204 && answer.status != 200 {
		return errs.E("loader.RemoveBucket", load.Bucket, errs.Conflict,
			fmt.Errorf("status %d %s", answer.status, documentCode(answer.status, document)))
	}
	return nil
}

// askBucket sends one request about the bucket on a connection of its own.
func askBucket(ctx context.Context, load Load, method string) (response, []byte, error) {
	load = load.withDefaults()
	target, err := load.target()
	if err != nil {
		return response{}, nil, errs.E("", errs.Invalid, err)
	}
	c := connection{address: target.address, stall: controlTimeout, tls: target.tls, reader: newReader(nil)}
	defer c.drop()
	if err := c.connect(ctx); err != nil {
		return response{}, nil, errs.E("", errs.Offline, err)
	}
	requests := requestBuilder{
		target: target,
		signer: sigv4.NewSigner(sigv4.Credentials{AccessKey: load.AccessKey, SecretKey: load.SecretKey}, load.Region),
	}
	now := time.Now()
	if err := c.send([][]byte{requests.bucket(method, now)}, now); err != nil {
		return response{}, nil, errs.E("", errs.IO, err)
	}
	answer, err := c.reader.head()
	if err != nil {
		return response{}, nil, errs.E("", errs.IO, err)
	}
	document := collector{limit: maxErrorBytes}
	if answer.hasBody(Put) {
		if _, err := c.reader.body(answer, &document); err != nil {
			return response{}, nil, errs.E("", errs.IO, err)
		}
	}
	return answer, document.kept, nil
}

// setBucketProps is the body of the native request that sets Troupe's own
// properties of a bucket.
type setBucketProps struct {
	Action string `json:"action"`
	Value  struct {
		Troupe objects.BucketProps `json:"troupe"`
	} `json:"value"`
}

// SetBucketProps sets the properties of the load's bucket through the native
// listener at an address ("http://127.0.0.1:8080"):
//
//	PATCH /v1/buckets/NAME
//	{"action":"set-bprops","value":{"troupe":{"durability":"relaxed","etag":"fast"}}}
//
// Properties that are zero in props are left as they are.
func SetBucketProps(ctx context.Context, load Load, native string, props objects.BucketProps) error {
	const op errs.Op = "loader.SetBucketProps"
	bucket := load.Bucket
	message := setBucketProps{Action: "set-bprops"}
	message.Value.Troupe = props
	body, err := json.Marshal(message)
	if err != nil {
		return errs.E(op, bucket, errs.Internal, err)
	}
	status, said, err := question{method: "PATCH", url: native + "/v1/buckets/" + bucket, tls: load.TLS, body: body, limit: maxErrorBytes}.ask(ctx)
	if err != nil {
		return errs.E(op, bucket, errs.IO, err)
	}
	if status < 200 || status > 299 {
		return errs.E(op, bucket, errs.Invalid, fmt.Errorf("%s: status %d %s", body, status, clip(bytes.TrimSpace(said))))
	}
	return nil
}
