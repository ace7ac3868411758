package ais

// Failure is the body of an answer with a status of 400 and above; after a HEAD
// it travels in the header Hdr-Error.
type Failure struct {
	Type       string `json:"tcode,omitempty"` // a name that Go clients test
	Message    string `json:"message"`
	Method     string `json:"method"`
	Path       string `json:"url_path"`
	RemoteAddr string `json:"remote_addr"`
	Caller     string `json:"caller"`
	Node       string `json:"node"`
	Status     int    `json:"status"` // the HTTP status
}
