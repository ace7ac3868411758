package s3api

import "github.com/valyala/fasthttp"

// deleteObject answers DeleteObject; what is not there is deleted already.
func deleteObject(r *request) error {
	version, err := r.version()
	if err != nil {
		return err
	}
	conditions, err := r.header.deleteConditions()
	if err != nil {
		return err
	}
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	if _, err := r.h.config.Gateway.Delete(r.context, bucket, r.target.key, version, conditions); err != nil {
		return err
	}
	return r.empty(fasthttp.StatusNoContent)
}
