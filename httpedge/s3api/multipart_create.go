package s3api

// createUpload answers CreateMultipartUpload.
func createUpload(r *request) error {
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	draft, err := r.draft()
	if err != nil {
		return err
	}
	wanted, err := r.header.wanted()
	if err != nil {
		return err
	}
	id, err := r.h.config.Gateway.CreateUpload(r.context, bucket, r.target.key, draft, wanted)
	if err != nil {
		return err
	}
	if r.header.checksumAlgorithm != "" {
		r.set("x-amz-checksum-algorithm", wanted.Algorithm.String())
		r.set("x-amz-checksum-type", wanted.Type.String())
	}
	m := r.newMarkup()
	m.root("InitiateMultipartUploadResult")
	m.text("Bucket", r.target.bucket)
	m.text("Key", r.target.key)
	m.text("UploadId", id)
	m.end("InitiateMultipartUploadResult")
	r.send(m)
	return nil
}
