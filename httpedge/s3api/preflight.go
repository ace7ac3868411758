package s3api

// preflight answers a browser that asks whether it may send a cross-origin
// request. Browsers do not sign it; no bucket has a CORS configuration, so the
// answer is always S3's no.
func (r *request) preflight() error {
	if r.header.origin == "" {
		return refuse(codeBadRequest, "Insufficient information. Origin request header needed.")
	}
	if r.header.requestedMethod == "" {
		return refuse(codeBadRequest, "Invalid Access-Control-Request-Method: null")
	}
	kind := "BUCKET"
	if r.target.level() == levelObject {
		kind = "OBJECT"
	}
	return refuse(codeAccessForbidden, "").with("Method", r.header.requestedMethod).with("ResourceType", kind)
}
