package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/troupe-storage/troupe/supervisors"
)

// banner tells a newcomer where the node is and what to paste next.
func banner(config supervisors.Config, node *supervisors.Node) string {
	var b strings.Builder
	secret := "(as set)"
	exports := fmt.Sprintf("export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=… AWS_DEFAULT_REGION=%s", config.RootAccessKey, config.Region)
	if config.RootSecretKey == supervisors.DefaultSecretKey {
		secret = config.RootSecretKey
		exports = fmt.Sprintf("export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_DEFAULT_REGION=%s", config.RootAccessKey, config.RootSecretKey, config.Region)
	}
	fmt.Fprintf(&b, "\nTroupe %s\n\n", version)
	s3 := endpoint(config.Edge.TLS("s3"), node.S3())
	fmt.Fprintf(&b, "  S3       %s\n", s3)
	fmt.Fprintf(&b, "  Native   %s   (health, metrics, S3 under /s3)\n", endpoint(config.Edge.TLS("native"), node.Native()))
	fmt.Fprintf(&b, "  Keys     %s / %s\n", config.RootAccessKey, secret)
	if node.Cluster() != nil {
		fmt.Fprintf(&b, "  Cluster  %s at Consul %s   (other nodes: https://%s)\n", config.Cluster.Name, config.Cluster.Consul, node.Intra())
	}
	for i, dir := range config.Data {
		label := "Data"
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(&b, "  %-8s %s\n", label, dir)
	}
	fmt.Fprintf(&b, "\nTry it:\n\n")
	fmt.Fprintf(&b, "  %s\n", exports)
	fmt.Fprintf(&b, "  aws --endpoint-url %s s3 mb s3://hello\n", s3)
	fmt.Fprintf(&b, "  aws --endpoint-url %s s3 cp /etc/hostname s3://hello/\n\n", s3)
	return b.String()
}

// endpoint is the address of a listener as a client on this machine writes it: one
// that is bound to every address is found at localhost.
func endpoint(secure bool, address string) string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	if host, port, err := net.SplitHostPort(address); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			address = net.JoinHostPort("localhost", port)
		}
	}
	return scheme + address
}
