// Package membership runs nodes of a cluster: whole ones, over a real Consul, in one
// process. What their membership does when all goes wrong that can is tested over the
// memory of a process, where time is virtual, in cluster/member; here it is shown that
// the parts fit: disks, certificates, listeners, Consul.
package membership
