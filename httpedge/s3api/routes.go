package s3api

import (
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// operation does what a request asks and writes the answer, or returns why not.
type operation func(r *request) error

// methods are the operations of one resource or subresource by HTTP method.
type methods map[string]operation

// allow returns the value of the Allow header.
func (m methods) allow() string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// resource is what can be done at one level: without a subresource, and with each.
type resource struct {
	plain        methods
	subresources map[string]methods
	parameters   map[string]bool // of the plain operations: no subresources, though they may come without a value
}

// routes is the whole surface. Immutable.
type routes [levelObject + 1]resource

// Methods by their usual names, to keep the table narrow.
const (
	get    = fasthttp.MethodGet
	head   = fasthttp.MethodHead
	put    = fasthttp.MethodPut
	post   = fasthttp.MethodPost
	remove = fasthttp.MethodDelete
)

// newRoutes is the table from method and subresource to operation. What S3 has
// and Troupe has not stands in it as unsupported: it must not fall through to
// something else, for example a listing.
// Source: Amazon S3 API Reference, "Actions".
func newRoutes() routes {
	reads := func(answer operation) methods {
		return methods{get: answer, put: unsupported, remove: unsupported}
	}
	// Removing a configuration that is not there succeeds on S3.
	config := func(answer operation) methods {
		return methods{get: answer, put: unsupported, remove: deleteNothing}
	}
	nothing := methods{get: unsupported, put: unsupported, post: unsupported, remove: unsupported, head: unsupported}
	return routes{
		levelService: {
			plain: methods{get: listBuckets},
			subresources: map[string]methods{
				"session": nothing, "publicAccessBlock": nothing,
			},
		},
		levelBucket: {
			plain: methods{get: listV1, head: headBucket, put: createBucket, remove: deleteBucket},
			parameters: set("prefix", "delimiter", "marker", "max-keys", "encoding-type", "list-type", "continuation-token",
				"start-after", "fetch-owner", "key-marker", "upload-id-marker", "version-id-marker", "max-uploads", "versionId"),
			subresources: map[string]methods{
				"location":            {get: getLocation},
				"versioning":          {get: getVersioning, put: unsupported},
				"versions":            {get: listVersions},
				"uploads":             {get: listUploads},
				"delete":              {post: deleteObjects},
				"acl":                 {get: getBucketACL, put: putBucketACL},
				"policy":              config(absent(codeNoSuchBucketPolicy)),
				"policyStatus":        {get: getPolicyStatus},
				"cors":                config(absent(codeNoSuchCORS)),
				"lifecycle":           config(absent(codeNoSuchLifecycle)),
				"tagging":             config(absent(codeNoSuchTagSet)),
				"website":             config(absent(codeNoSuchWebsite)),
				"replication":         config(absent(codeNoReplication)),
				"encryption":          config(absent(codeNoEncryption)),
				"object-lock":         {get: absent(codeNoObjectLock), put: unsupported},
				"publicAccessBlock":   reads(getPublicAccessBlock),
				"ownershipControls":   reads(getOwnershipControls),
				"requestPayment":      {get: getRequestPayment, put: unsupported},
				"accelerate":          {get: emptyDocument("AccelerateConfiguration"), put: unsupported},
				"logging":             {get: emptyDocument("BucketLoggingStatus"), put: unsupported},
				"notification":        {get: emptyDocument("NotificationConfiguration"), put: unsupported},
				"analytics":           config(configurations("ListBucketAnalyticsConfigurationResult")),
				"intelligent-tiering": config(configurations("ListBucketIntelligentTieringConfigurationsOutput")),
				"inventory":           config(configurations("ListInventoryConfigurationsResult")),
				"metrics":             config(configurations("ListMetricsConfigurationsResult")),

				"abac": nothing, "metadataConfiguration": nothing, "metadataTable": nothing, "metadataInventoryTable": nothing,
				"metadataJournalTable": nothing, "metadataAnnotationTable": nothing, "session": nothing, "select": nothing, "restore": nothing,
			},
		},
		levelObject: {
			plain: methods{get: getObject, head: headObject, put: putOrCopy, remove: deleteObject},
			parameters: set("partNumber", "versionId", "response-content-type", "response-content-language", "response-expires",
				"response-cache-control", "response-content-disposition", "response-content-encoding",
				"max-parts", "part-number-marker", "encoding-type"),
			subresources: map[string]methods{
				"uploads":    {post: createUpload},
				"uploadId":   {get: listParts, put: putPart, post: completeUpload, remove: abortUpload},
				"acl":        {get: getObjectACL, put: putObjectACL},
				"tagging":    {get: getObjectTagging, put: putObjectTagging, remove: deleteObjectTagging},
				"attributes": {get: getAttributes},
				"legal-hold": {get: noObjectLock, put: unsupported},
				"retention":  {get: noObjectLock, put: unsupported},

				"torrent": nothing, "restore": nothing, "select": nothing, "select-type": nothing, "renameObject": nothing,
				"encryption": nothing, "append": nothing, "annotation": nothing,
				"policy": nothing, "cors": nothing, "lifecycle": nothing, "website": nothing, "versions": nothing,
				"versioning": nothing, "location": nothing, "delete": nothing, "replication": nothing, "object-lock": nothing,
			},
		},
	}
}

func set(names ...string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, name := range names {
		s[name] = true
	}
	return s
}

// find returns the operation that a request asks for, and the subresource that
// it is about, if any.
func (t *routes) find(r *request) (op operation, by string, err error) {
	resource := &t[r.target.level()]
	chosen := resource.plain
	for _, p := range r.query {
		m, ok := resource.subresources[p.name]
		switch {
		case ok && by == "" || ok && by == p.name:
			chosen, by = m, p.name
		case ok && (by == "select" && p.name == "select-type" || by == "select-type" && p.name == "select"):
			// One operation has both.
		case ok:
			return nil, by, refuse(codeInvalidArgument, "Conflicting query string parameters: "+by+", "+p.name).argument("ResourceType", by)
		case p.bare && !resource.parameters[p.name]:
			// A subresource that S3 may have one day. Parameters with a value
			// are ignored, as S3 does: SDKs add some of their own (x-id).
			return nil, by, refuse(codeNotImplemented, "").argument("ResourceType", p.name)
		}
	}
	op, ok := chosen[r.method]
	if !ok {
		return nil, by, r.methodNotAllowed(chosen, by)
	}
	return op, by, nil
}

func (r *request) methodNotAllowed(m methods, subresource string) error {
	kind := [...]string{levelService: "SERVICE", levelBucket: "BUCKET", levelObject: "OBJECT"}[r.target.level()]
	if subresource != "" {
		kind = strings.ToUpper(subresource)
	}
	e := refuse(codeMethodNotAllowed, "").with("Method", r.method).with("ResourceType", kind)
	e.Header = []Detail{{"Allow", m.allow()}}
	return e
}

// unsupported answers what S3 has and Troupe has not.
func unsupported(r *request) error {
	if r.target.bucket != "" { // what is not there is said first, as S3 does
		if _, err := r.bucket(); err != nil {
			return err
		}
	}
	return refuse(codeNotImplemented, "")
}
