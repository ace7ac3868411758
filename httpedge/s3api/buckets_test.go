package s3api

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

// bucket_create_…, bucket_delete_…: making, making again, and removing.
func TestBucketLife(t *testing.T) {
	e := newEdge(t)
	e.do(head, "/new-bucket", "").want(404)
	e.do(put, "/new-bucket", "").want(200).wantHeader("Location", "/new-bucket")
	e.do(head, "/new-bucket", "").want(200).wantHeader("x-amz-bucket-region", "us-east-1")
	e.do(put, "/new-bucket/k", "x").want(200)
	e.do(put, "/new-bucket", "").want(200) // us-east-1's history
	e.do(get, "/new-bucket/k", "").want(200)
	if d := e.do(remove, "/new-bucket", "").wantError(409, "BucketNotEmpty"); d.BucketName != "new-bucket" {
		t.Errorf("the error is about %q", d.BucketName)
	}
	e.do(remove, "/new-bucket/k", "").want(204)
	e.do(remove, "/new-bucket", "").want(204).wantBody("")
	e.do(remove, "/new-bucket", "").wantError(404, "NoSuchBucket")
	e.raw("PUT /new-bucket HTTP/1.1\r\nHost: h\r\nAuthorization: test\r\n\r\n").want(200) // contentlength_none
}

// bucket_create_naming_…, and everything else that CreateBucket refuses.
func TestCreateBucketRefusals(t *testing.T) {
	e := newEdge(t)
	for _, name := range []string{"a", "aa", strings.Repeat("a", 64), "Upper", "under_score", "-dash", "dash-", "a..b", "192.168.5.4", "xn--bucket"} {
		e.do(put, "/"+name, "").wantError(400, "InvalidBucketName")
	}
	for _, name := range []string{"aaa", strings.Repeat("a", 63), "0digit", "a-b", "a.b"} {
		e.do(put, "/"+name, "").want(200)
	}
	configuration := func(inner string) string {
		return `<CreateBucketConfiguration xmlns="` + namespace + `">` + inner + `</CreateBucketConfiguration>`
	}
	for _, c := range []struct {
		body, header string
		status       int
		code         string
	}{
		{configuration("<LocationConstraint>eu-west-1</LocationConstraint>"), "", 400, "InvalidLocationConstraint"},
		{configuration("<Location><Type>AvailabilityZone</Type></Location>"), "", 501, "NotImplemented"},
		{configuration("<Tags><Tag><Key>a</Key></Tag></Tags>"), "", 501, "NotImplemented"},
		{"<Other/>", "", 400, "MalformedXML"},
		{"<CreateBucketConfiguration>", "", 400, "MalformedXML"},
		{configuration("") + "<More/>", "", 400, "MalformedXML"},
		{"nonsense", "", 400, "MalformedXML"},
		{strings.Repeat(" ", 64<<10+1), "", 400, "MaxMessageLengthExceeded"},
		{configuration(""), "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==", 400, "BadDigest"},
		{"", "x-amz-acl: public-read", 501, "NotImplemented"},
		{"", "x-amz-acl: public-ready", 400, "InvalidArgument"},
		{"", "x-amz-grant-write: id=x", 501, "NotImplemented"},
		{"", "x-amz-bucket-object-lock-enabled: true", 501, "NotImplemented"},
		{"", "x-amz-bucket-object-lock-enabled: maybe", 400, "InvalidArgument"},
		{"", "x-amz-object-ownership: ObjectWriter", 501, "NotImplemented"},
		{"", "x-amz-object-ownership: Nobody", 400, "InvalidArgument"},
		{"", "x-troupe-copies: two", 400, "InvalidArgument"},
		{"", "x-troupe-copies: 0", 400, "InvalidArgument"},
		{"", "x-troupe-copies: 17", 400, "InvalidArgument"},
		{"", "x-troupe-min-copies: 2", 400, "InvalidArgument"},
		{"", "x-troupe-reads: sometimes", 400, "InvalidArgument"},
	} {
		if c.header == "" {
			c.header = "x-nothing: special"
		}
		e.do(put, "/refused", c.body, c.header).wantError(c.status, c.code)
	}
	e.do(head, "/refused", "").want(404)
	e.do(put, "/accepted", configuration("<LocationConstraint>us-east-1</LocationConstraint>"), "x-amz-acl: private",
		"x-amz-bucket-object-lock-enabled: false", "x-amz-object-ownership: BucketOwnerEnforced").want(200)
	e.do(put, "/kept-twice", "", "x-troupe-copies: 3", "x-troupe-min-copies: 2", "x-troupe-reads: relaxed").want(200)
	if p := e.model.buckets["kept-twice"].doc.Props; p.Copies != 3 || p.MinCopies != 2 || p.Reads != objects.ReadsRelaxed {
		t.Errorf("made with %+v", p)
	}
}

// Outside us-east-1 a bucket is not made twice, and its region is said.
func TestOtherRegion(t *testing.T) {
	e := newEdge(t, func(c *Config) { c.Region = "eu-west-1" })
	e.do(put, "/old", "").want(200)
	e.do(put, "/old", "").wantError(409, "BucketAlreadyOwnedByYou")
	e.do(put, "/new", `<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>`).want(200)
	e.do(head, "/b", "").want(200).wantHeader("x-amz-bucket-region", "eu-west-1")
	e.do(get, "/b?location", "").want(200).golden("location_eu")
}

// What clients probe on a bucket that nobody configured has S3's own answers.
func TestPlainBucketAnswers(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x")
	for target, name := range map[string]string{
		"/b?location": "location", "/b?versioning": "versioning", "/b?acl": "acl", "/b/k?acl": "acl", "/b?publicAccessBlock": "public_access_block",
		"/b?policyStatus": "policy_status", "/b?ownershipControls": "ownership", "/b?requestPayment": "request_payment", "/b?accelerate": "accelerate",
		"/b?logging": "logging", "/b?notification": "notification", "/b?analytics": "analytics", "/b?inventory&x-id=x": "inventory",
	} {
		e.do(get, target, "").want(200).golden(name)
	}
	for target, code := range map[string]string{
		"/b?policy": "NoSuchBucketPolicy", "/b?cors": "NoSuchCORSConfiguration", "/b?lifecycle": "NoSuchLifecycleConfiguration", "/b?tagging": "NoSuchTagSet",
		"/b?website": "NoSuchWebsiteConfiguration", "/b?replication": "ReplicationConfigurationNotFoundError",
		"/b?encryption": "ServerSideEncryptionConfigurationNotFoundError", "/b?object-lock": "ObjectLockConfigurationNotFoundError",
		"/b?metrics&id=x": "NoSuchConfiguration", "/b?intelligent-tiering&id=x": "NoSuchConfiguration",
	} {
		if d := e.do(get, target, "").wantError(404, code); d.BucketName != "b" {
			t.Errorf("%s is about %q", target, d.BucketName)
		}
	}
	e.do(get, "/b/k?legal-hold", "").wantError(400, "InvalidRequest")
	e.do(get, "/b/k?retention", "").wantError(400, "InvalidRequest")
	e.do(get, "/b/missing?retention", "").wantError(404, "NoSuchKey")
	for _, sub := range []string{"policy", "cors", "lifecycle", "tagging", "website", "replication", "encryption"} {
		e.do(remove, "/b?"+sub, "").want(204)
	}
	e.do(put, "/b?acl", "", "x-amz-acl: private").want(200)
	e.do(put, "/b/k?acl", "", "x-amz-acl: private").want(200)
	e.do(put, "/b/missing?acl", "", "x-amz-acl: private").wantError(404, "NoSuchKey")
	e.do(put, "/b?acl", "", "x-amz-acl: public-read").wantError(501, "NotImplemented")
	e.do(put, "/b?acl", "<AccessControlPolicy/>").wantError(501, "NotImplemented")
	for _, sub := range []string{"location", "versioning", "acl", "policy", "logging", "publicAccessBlock", "uploads", "versions"} {
		e.do(get, "/missing?"+sub, "").wantError(404, "NoSuchBucket")
	}
}

// The versioning of a bucket shows, though this edge cannot change it.
func TestVersioningShows(t *testing.T) {
	e := newEdge(t)
	if _, err := e.model.CreateBucket(t.Context(), "v", objects.BucketProps{Versioning: objects.VersioningEnabled}); err != nil {
		t.Fatal(err)
	}
	e.do(get, "/v?versioning", "").want(200).golden("versioning_enabled")
	e.do(get, "/v?versions", "").wantError(501, "NotImplemented")
}

// What Troupe has not is NotImplemented, and never something else: not a
// listing, not an object, not a stored object.
func TestUnsupported(t *testing.T) {
	e := newEdge(t)
	e.put("k", "secret")
	for _, c := range []struct{ method, target string }{
		{get, "/b?unknown"}, {get, "/b?metadataTable"}, {get, "/b?session"}, {get, "/b?abac"}, {get, "/?unknown"}, {get, "/b/k?unknown"},
		{put, "/b?versioning"}, {put, "/b?policy"}, {put, "/b?cors"}, {put, "/b?lifecycle"}, {put, "/b?tagging"}, {put, "/b?website"},
		{put, "/b?replication"}, {put, "/b?encryption"}, {put, "/b?object-lock"}, {put, "/b?publicAccessBlock"}, {put, "/b?ownershipControls"},
		{put, "/b?requestPayment"}, {put, "/b?accelerate"}, {put, "/b?logging"}, {put, "/b?notification"}, {put, "/b?analytics&id=1"}, {put, "/b?inventory&id=1"},
		{remove, "/b?publicAccessBlock"}, {remove, "/b?ownershipControls"},
		{get, "/b/k?torrent"}, {post, "/b/k?restore"}, {post, "/b/k?select&select-type=2"}, {put, "/b/k?legal-hold"}, {put, "/b/k?retention"},
		{put, "/b/k?renameObject"}, {put, "/b/k?encryption"}, {put, "/b/new?unknown"}, {put, "/b/new?policy"}, {remove, "/b/k?unknown"}, {remove, "/b?unknown"}, {head, "/b/k?torrent"},
	} {
		r := e.do(c.method, c.target, "").want(501)
		if c.method != head {
			r.wantError(501, "NotImplemented")
		}
		if strings.Contains(r.body, "secret") || strings.Contains(r.body, "ListBucketResult") {
			t.Errorf("%s %s fell through: %s", c.method, c.target, r.body)
		}
	}
	if _, ok := e.model.buckets["b"].objects["k"]; !ok || len(e.model.buckets["b"].objects) != 1 {
		t.Error("something was stored or removed")
	}
	e.do(get, "/b?acl&policy", "").wantError(400, "InvalidArgument")
	e.do(remove, "/b/k?uploadId=x&tagging", "").wantError(400, "InvalidArgument")
	// Parameters that SDKs add are no subresources.
	e.do(get, "/b/k?x-id=GetObject", "").want(200).wantBody("secret")
	e.do(get, "/b?list-type=2&x-id=ListObjectsV2&allow-unordered=true", "").want(200)
}

// A method that a resource has not is 405, and Allow says which it has.
func TestMethodNotAllowed(t *testing.T) {
	e := newEdge(t)
	for _, c := range []struct{ method, target, allow string }{
		{"PATCH", "/b/k", "DELETE, GET, HEAD, PUT"},
		{"TRACE", "/b", "DELETE, GET, HEAD, PUT"},
		{post, "/b/k", "DELETE, GET, HEAD, PUT"},
		{put, "/", "GET"},
		{remove, "/", "GET"},
		{post, "/b?acl", "GET, PUT"},
		{put, "/b?uploads", "GET"},
		{get, "/b?delete", "POST"},
		{get, "/b/k?uploads", "POST"},
	} {
		e.do(c.method, c.target, "").wantHeader("Allow", c.allow).wantError(405, "MethodNotAllowed")
	}
}

// A bucket that the client takes for somebody else's is refused.
func TestExpectedOwner(t *testing.T) {
	e := newEdge(t)
	e.put("k", "x")
	for _, c := range []struct{ method, target string }{
		{get, "/b"}, {get, "/b?location"}, {get, "/b?policy"}, {get, "/b/k"}, {put, "/b/k"}, {remove, "/b/k"}, {remove, "/b"}, {post, "/b/k?uploads"}, {get, "/b?uploads"}, {get, "/b?versions"}, {get, "/b/k?tagging"},
	} {
		e.do(c.method, c.target, "", "x-amz-expected-bucket-owner: other").wantError(403, "AccessDenied")
	}
	e.do(get, "/b/k", "", "x-amz-expected-bucket-owner: owner").want(200)
}

// cors_…: no bucket has a CORS configuration, so every preflight is refused,
// signed or not.
func TestPreflight(t *testing.T) {
	e := newEdge(t)
	e.anonymous("OPTIONS", "/b/k", "").wantError(400, "BadRequest")
	e.anonymous("OPTIONS", "/b/k", "", "Origin: http://a").wantError(400, "BadRequest")
	e.anonymous("OPTIONS", "/b/k", "", "Origin: http://a", "Access-Control-Request-Method: PUT").wantError(403, "AccessForbidden")
	e.do("OPTIONS", "/b", "", "Origin: http://a", "Access-Control-Request-Method: GET").wantError(403, "AccessForbidden")
}
