package ais

// Net is one network of a node. The port is text.
type Net struct {
	Host string `json:"node_ip_addr"`
	Port string `json:"daemon_port"`
	URL  string `json:"direct_url"` // without a slash at its end
}

// Node is a node of the cluster map. Its ID has 8 or more letters and digits.
type Node struct {
	PublicNet       Net    `json:"public_net"`
	IntraControlNet Net    `json:"intra_control_net"`
	IntraDataNet    Net    `json:"intra_data_net"`
	Type            string `json:"daemon_type"` // "proxy" or "target"
	ID              string `json:"daemon_id"`
	Flags           uint64 `json:"flags"`
	Digest          uint64 `json:"id_digest"` // what clients place names with
}

// The types of nodes.
const (
	TypeProxy  = "proxy"
	TypeTarget = "target"
)

// Smap is the cluster map.
type Smap struct {
	Proxies map[string]Node `json:"pmap"`
	Primary Node            `json:"proxy_si"`
	Targets map[string]Node `json:"tmap"`
	UUID    string          `json:"uuid"`
	Created string          `json:"creation_time"`
	Version int64           `json:"version,string"`
}

// BMD is the bucket metadata of the cluster: provider, namespace ("@#" is the
// global one), bucket.
type BMD struct {
	Providers map[string]map[string]map[string]BucketProps `json:"providers"`
	UUID      string                                       `json:"uuid"`
	Version   int64                                        `json:"version,string"`
}

// Load is the load average of a machine.
type Load struct {
	One     float64
	Five    float64
	Fifteen float64
}

// SystemInfo is what a node tells of its machine. Memory in bytes.
type SystemInfo struct {
	MemoryUsed      uint64  `json:"mem_used"`
	MemoryAvailable uint64  `json:"mem_avail"`
	MemoryPercent   float64 `json:"pct_mem_used"`
	CPUPercent      float64 `json:"pct_cpu_used"`
	LoadAverage     Load    `json:"load_avg"`
	CPUUtil         int64   `json:"cpu_util"`
}

// FS is the filesystem of a mountpath.
type FS struct {
	Source string `json:"Fs"`
	Type   string `json:"FsType"`
	ID     string `json:"FsID"` // "<int>,<int>"; equal ones are counted once
}

// MountpathCapacity is the capacity of one mountpath, in bytes.
type MountpathCapacity struct {
	Used    uint64   `json:"used,string"`
	Avail   uint64   `json:"avail,string"`
	Percent int      `json:"pct_used"`
	Label   string   `json:"mountpath_label"`
	FS      FS       `json:"fs"`
	Disks   []string `json:"disks"`
}

// Capacity is that of a node's mountpaths.
type Capacity struct {
	Mountpaths map[string]MountpathCapacity `json:"mountpaths"`
	Error      string                       `json:"cs_err"`
	Used       uint64                       `json:"total_used,string"`
	Avail      uint64                       `json:"total_avail,string"`
	MaxPercent int                          `json:"pct_max"`
	AvgPercent int                          `json:"pct_avg"`
	MinPercent int                          `json:"pct_min"`
}

// NodeStats are a node's counters.
type NodeStats struct {
	Node     Node             `json:"snode"`
	Tracker  map[string]int64 `json:"tracker"`
	Capacity Capacity         `json:"capacity"`
}

// SmapPrimary is the primary in ClusterInfo.
type SmapPrimary struct {
	PublicURL  string `json:"pub_url"`
	ControlURL string `json:"control_url"`
	ID         string `json:"id"`
}

// Version is the version of a document.
type Version struct {
	UUID    string `json:"uuid,omitempty"`
	Version int64  `json:"version,string"`
}

// ClusterInfo is a node's view of the cluster.
type ClusterInfo struct {
	Smap struct {
		Primary SmapPrimary
		UUID    string `json:"uuid"`
		Version int64  `json:"version,string"`
	} `json:"smap"`
	BMD    Version `json:"bmd"`
	RMD    Version `json:"rmd"`
	Config Version `json:"config"`
	ETL    Version `json:"etlmd"`
	Flags  uint64  `json:"flags"`
}

// The flags of ClusterInfo of a node where all is well: cluster and node started.
const FlagsStarted = 1<<1 | 1<<2

// NodeStatus is what a node tells of itself.
type NodeStatus struct {
	NodeStats
	Status      string      `json:"status"` // "online"
	Deployment  string      `json:"deployment"`
	Version     string      `json:"ais_version"`
	BuildTime   string      `json:"build_time"`
	PodName     string      `json:"k8s_pod_name"`
	Cluster     ClusterInfo `json:"cluster"`
	System      SystemInfo  `json:"sys_info"`
	SmapVersion int64       `json:"smap_version,string"`
}

// Mountpaths are a node's, by state.
type Mountpaths struct {
	Available []string `json:"available"`
	WaitingDD []string `json:"waiting_dd"`
	Disabled  []string `json:"disabled"`
}
