package ais

// BucketProps is all that a bucket's properties are, in the form of the header
// Ais-Bucket-Props. Numbers tagged "string" travel in quotes; durations and sizes
// are text ("2h0m", "1GiB").
type BucketProps struct {
	BackendBucket Bucket         `json:"backend_bck"`
	WritePolicy   WritePolicy    `json:"write_policy"`
	Provider      string         `json:"provider"`
	Renamed       string         `json:"Renamed"`
	Checksum      ChecksumConfig `json:"checksum"`
	Extra         ExtraProps     `json:"extra"`
	RateLimit     RateLimit      `json:"rate_limit"`
	EC            ECConfig       `json:"ec"`
	Chunks        ChunksConfig   `json:"chunks"`
	Mirror        MirrorConfig   `json:"mirror"`
	LRU           LRUConfig      `json:"lru"`
	Access        uint64         `json:"access,string"`
	Features      uint64         `json:"features,string"`
	ID            uint64         `json:"bid,string"`
	Created       int64          `json:"created,string"` // Unix nanoseconds
	Versioning    Versioning     `json:"versioning"`
	Troupe        TroupeProps    `json:"troupe"`
}

// HeaderBucketProps is where a HEAD of a bucket has BucketProps, as JSON.
const HeaderBucketProps = "Ais-Bucket-Props"

// TroupeProps are the properties that AIStore does not have.
type TroupeProps struct {
	Durability      string `json:"durability"` // "synced" or "relaxed"
	ETag            string `json:"etag"`       // "md5" or "fast"
	ValidateWarmGet bool   `json:"validate_warm_get"`
	S3Versioning    string `json:"s3_versioning"` // "", "Enabled" or "Suspended"; only to be read here
	Copies          int    `json:"copies"`        // nodes that an object is on
	MinCopies       int    `json:"min_copies"`    // of them must have a write before it is acknowledged
	Reads           string `json:"reads"`         // "confirmed" or "relaxed"
	// NextCopies is how many there are to be once the plan under way, or the next one, has
	// made them; 0: as many as there are. Likewise NextMinCopies. Only to be read.
	NextCopies    int `json:"next_copies,omitempty"`
	NextMinCopies int `json:"next_min_copies,omitempty"`
}

// WritePolicy says when data and metadata are persisted.
type WritePolicy struct {
	Data string `json:"data"`
	MD   string `json:"md"`
}

// ChecksumConfig says how payloads are checked.
type ChecksumConfig struct {
	Type            string `json:"type"`
	ValidateColdGet bool   `json:"validate_cold_get"`
	ValidateWarmGet bool   `json:"validate_warm_get"`
	ValidateObjMove bool   `json:"validate_obj_move"`
	EnableReadRange bool   `json:"enable_read_range"`
}

// Versioning says whether objects have a version, a count of writes.
type Versioning struct {
	Enabled         bool `json:"enabled"`
	ValidateWarmGet bool `json:"validate_warm_get"`
	Synchronize     bool `json:"synchronize"`
}

// MirrorConfig says how many copies there are.
type MirrorConfig struct {
	Copies      int  `json:"copies"`
	BurstBuffer int  `json:"burst_buffer"`
	Enabled     bool `json:"enabled"`
}

// ECConfig describes erasure coding.
type ECConfig struct {
	SizeLimit        int64  `json:"objsize_limit"`
	Compression      string `json:"compression"`
	BundleMultiplier int    `json:"bundle_multiplier"`
	BurstBuffer      int    `json:"burst_buffer"`
	DataSlices       int    `json:"data_slices"`
	ParitySlices     int    `json:"parity_slices"`
	Enabled          bool   `json:"enabled"`
	DiskOnly         bool   `json:"disk_only"`
}

// LRUConfig describes eviction.
type LRUConfig struct {
	DontEvictTime   string `json:"dont_evict_time"`
	CapacityUpdTime string `json:"capacity_upd_time"`
	BatchSize       int    `json:"batch_size,omitempty"`
	Enabled         bool   `json:"enabled"`
}

// ChunksConfig says when objects are stored in chunks.
type ChunksConfig struct {
	SizeLimit         string `json:"objsize_limit"`
	MaxMonolithicSize string `json:"max_monolithic_size"`
	ChunkSize         string `json:"chunk_size"`
}

// RateLimit bounds how often clients and backends are served.
type RateLimit struct {
	Backend  RateLimitBackend  `json:"backend"`
	Frontend RateLimitFrontend `json:"frontend"`
}

// RateLimitBackend bounds requests to a backend.
type RateLimitBackend struct {
	Interval   string `json:"interval"`
	MaxTokens  int    `json:"max_tokens"`
	Enabled    bool   `json:"enabled"`
	NumRetries int    `json:"num_retries"`
}

// RateLimitFrontend bounds requests of clients.
type RateLimitFrontend struct {
	Interval  string `json:"interval"`
	MaxTokens int    `json:"max_tokens"`
	Enabled   bool   `json:"enabled"`
	BurstSize int    `json:"burst_size"`
}

// ExtraProps are those of backends; an AIS bucket has none.
type ExtraProps struct {
	AWS struct{} `json:"aws"`
}
