package s3api

import "github.com/valyala/fasthttp"

// headBucket answers HeadBucket: the bucket exists, and where.
func headBucket(r *request) error {
	if _, err := r.bucket(); err != nil {
		return err
	}
	r.set("x-amz-bucket-region", r.h.config.Region)
	r.set("x-amz-access-point-alias", "false")
	return r.empty(fasthttp.StatusOK)
}

// deleteBucket answers DeleteBucket: an empty bucket goes.
func deleteBucket(r *request) error {
	if _, err := r.bucket(); err != nil {
		return err
	}
	if err := r.h.config.Gateway.DeleteBucket(r.context, r.target.bucket); err != nil {
		return err
	}
	return r.empty(fasthttp.StatusNoContent)
}

// getLocation answers GetBucketLocation; us-east-1 is written as nothing.
func getLocation(r *request) error {
	if _, err := r.bucket(); err != nil {
		return err
	}
	m := r.newMarkup()
	m.root("LocationConstraint")
	if r.h.config.Region != defaultRegion {
		m.escape(r.h.config.Region)
	}
	m.end("LocationConstraint")
	r.send(m)
	return nil
}

// getVersioning answers GetBucketVersioning; a bucket whose versioning was
// never enabled has no status.
func getVersioning(r *request) error {
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	m := r.newMarkup()
	m.root("VersioningConfiguration")
	m.optional("Status", string(bucket.Props.Versioning))
	m.end("VersioningConfiguration")
	r.send(m)
	return nil
}
