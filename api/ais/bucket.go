package ais

// Namespace is where a bucket's name is looked up. Both empty: the global one.
type Namespace struct {
	UUID string `json:"uuid"` // of a remote cluster, or its alias
	Name string `json:"name"`
}

// IsGlobal reports whether the namespace is the global one.
func (n Namespace) IsGlobal() bool { return n == Namespace{} }

// String returns the namespace as it is written in queries and unames: "@uuid#name".
func (n Namespace) String() string {
	if n.Name == "" && n.UUID != "" {
		return "@" + n.UUID
	}
	return "@" + n.UUID + "#" + n.Name
}

// Bucket names a bucket.
type Bucket struct {
	Name      string    `json:"name"`
	Provider  string    `json:"provider"`
	Namespace Namespace `json:"namespace"`
}

// The providers. Only ProviderAIS has buckets here.
const (
	ProviderAIS   = "ais"
	ProviderAWS   = "aws"
	ProviderGCP   = "gcp"
	ProviderAzure = "azure"
	ProviderOCI   = "oci"
)

// ParseProvider reads a provider or one of its aliases; empty is ProviderAIS.
func ParseProvider(s string) (string, bool) {
	switch s {
	case "", ProviderAIS:
		return ProviderAIS, true
	case ProviderAWS, "s3":
		return ProviderAWS, true
	case ProviderGCP, "gs":
		return ProviderGCP, true
	case ProviderAzure, "az":
		return ProviderAzure, true
	case ProviderOCI, "oc":
		return ProviderOCI, true
	}
	return "", false
}

// String returns the bucket as messages show it: "ais://b", "s3://b",
// "ais://@uuid#ns/b". Clients look for this form in texts of errors.
func (b Bucket) String() string {
	scheme := b.Provider
	switch b.Provider {
	case "":
		scheme = ProviderAIS
	case ProviderAWS:
		scheme = "s3"
	case ProviderGCP:
		scheme = "gs"
	case ProviderAzure:
		scheme = "az"
	}
	switch {
	case b.Namespace.IsGlobal():
		return scheme + "://" + b.Name
	case b.Namespace.UUID == "":
		return scheme + "://#" + b.Namespace.Name + "/" + b.Name
	default:
		return scheme + "://" + b.Namespace.String() + "/" + b.Name
	}
}
