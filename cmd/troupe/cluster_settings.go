package main

import (
	"time"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/supervisors"
)

// addClusterSettings defines the flags about the cluster that a node belongs to.
func addClusterSettings(flags *pflag.FlagSet) {
	flags.String("consul", "", "address of this machine's Consul agent, HOST:PORT, http(s)://… or unix:///…: the node joins a cluster")
	flags.String("cluster", "", "name of the cluster, the same on all of its nodes")
	flags.String("consul-token", "", "ACL token for Consul; on a command line it is everybody's: better TROUPE_CONSUL_TOKEN or --consul-token-file")
	flags.String("consul-token-file", "", "file that holds the ACL token for Consul; followed when it changes")
	flags.String("consul-ca", "", "PEM file of the authority of the agent's certificate: HTTPS to the agent")
	flags.String("consul-cert", "", "PEM file of the certificate that the agent is shown")
	flags.String("consul-key", "", "PEM file of that certificate's key")
	flags.String("cluster-secret", "", "secret that all nodes of the cluster share; on a command line it is everybody's: better TROUPE_CLUSTER_SECRET or --cluster-secret-file")
	flags.String("cluster-secret-file", "", "file that holds that secret")
	flags.String("plans", "", "automatic: a node that joins is given its part of the keys by itself; manual: when an operator says so; default: as the cluster shares it, or automatic")
	flags.String("give-up-after", "", "how long a node is down until it is given up by itself, where other nodes have all of its keys; never: an operator says so; default: as the cluster shares it, or "+supervisors.DefaultGiveUpAfter.String())
	flags.String("advertise", "", "host or address at which other nodes reach this one; default: that of intra")
}

// clusterOf reads the settings about the cluster.
func clusterOf(k *koanf.Koanf, giveUpAfter time.Duration) supervisors.ClusterConfig {
	return supervisors.ClusterConfig{
		Name: k.String("cluster"), Consul: k.String("consul"),
		Token: supervisors.Secret(k.String("consul-token")), TokenFile: k.String("consul-token-file"),
		CAFile: k.String("consul-ca"), CertFile: k.String("consul-cert"), KeyFile: k.String("consul-key"),
		Secret: supervisors.Secret(k.String("cluster-secret")), SecretFile: k.String("cluster-secret-file"),
		Advertise: k.String("advertise"), Plans: k.String("plans"), GiveUpAfter: giveUpAfter,
	}
}
