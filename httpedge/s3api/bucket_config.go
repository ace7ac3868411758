package s3api

import "github.com/valyala/fasthttp"

// What S3 answers about a bucket that nobody configured. Clients probe these
// before they do anything else; the answers are true of every bucket here.

// absent answers that a configuration is not there.
func absent(code string) operation {
	return func(r *request) error {
		if _, err := r.bucket(); err != nil {
			return err
		}
		return refuse(code, "").with("BucketName", r.target.bucket)
	}
}

// deleteNothing answers the removal of a configuration that is not there.
func deleteNothing(r *request) error {
	if _, err := r.bucket(); err != nil {
		return err
	}
	return r.empty(fasthttp.StatusNoContent)
}

// answerDocument answers with a document about an existing bucket.
func answerDocument(root string, content func(r *request, m *markup)) operation {
	return func(r *request) error {
		if _, err := r.bucket(); err != nil {
			return err
		}
		m := r.newMarkup()
		m.root(root)
		content(r, m)
		m.end(root)
		r.send(m)
		return nil
	}
}

// emptyDocument answers with a configuration in which nothing is set.
func emptyDocument(root string) operation {
	return answerDocument(root, func(*request, *markup) {})
}

// configurations answers for those of which a bucket can have many: without an
// id the list of them, which is empty; with one, that there is none such.
func configurations(root string) operation {
	list := answerDocument(root, func(_ *request, m *markup) { m.boolean("IsTruncated", false) })
	none := absent(codeNoSuchConfiguration)
	return func(r *request) error {
		if r.query.has("id") {
			return none(r)
		}
		return list(r)
	}
}

// getPublicAccessBlock answers GetPublicAccessBlock: nothing here is public.
func getPublicAccessBlock(r *request) error {
	return answerDocument("PublicAccessBlockConfiguration", func(_ *request, m *markup) {
		m.boolean("BlockPublicAcls", true)
		m.boolean("IgnorePublicAcls", true)
		m.boolean("BlockPublicPolicy", true)
		m.boolean("RestrictPublicBuckets", true)
	})(r)
}

// getPolicyStatus answers GetBucketPolicyStatus: no policy makes a bucket public.
func getPolicyStatus(r *request) error {
	return answerDocument("PolicyStatus", func(_ *request, m *markup) { m.boolean("IsPublic", false) })(r)
}

// getOwnershipControls answers GetBucketOwnershipControls: the owner owns all.
func getOwnershipControls(r *request) error {
	return answerDocument("OwnershipControls", func(_ *request, m *markup) {
		m.open("Rule")
		m.text("ObjectOwnership", "BucketOwnerEnforced")
		m.end("Rule")
	})(r)
}

// getRequestPayment answers GetBucketRequestPayment.
func getRequestPayment(r *request) error {
	return answerDocument("RequestPaymentConfiguration", func(_ *request, m *markup) { m.text("Payer", "BucketOwner") })(r)
}
