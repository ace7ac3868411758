package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/supervisors"
)

// addEdgeSettings defines the flags about how the listeners speak.
func addEdgeSettings(flags *pflag.FlagSet) {
	d := supervisors.Config{}.WithDefaults()
	flags.String("tls-cert", "", "PEM file of a certificate, its chain behind it: HTTPS; followed when it changes")
	flags.String("tls-key", "", "PEM file of the certificate's key")
	flags.StringSlice("tls-listener", d.Edge.TLSListeners, "listener that speaks HTTPS once there is a certificate: native, s3; repeatable")
	flags.StringSlice("trusted-proxy", nil, "address or prefix from which X-Forwarded-For and X-Forwarded-Proto are believed; repeatable")
	flags.String("access-log", "", "file that gets a line for every request, - for standard output")
	flags.String("access-log-format", d.Edge.AccessLogFormat, "form of the access log: s3 or json")
	flags.Duration("root-overlap", defaultOverlap, "how long the root pair before a change is good still")
}

// defaultOverlap is long enough to tell a handful of clients.
const defaultOverlap = 5 * time.Minute

// isList reports whether a setting is a list, which the environment separates by
// commas.
func isList(name string) bool {
	switch name {
	case "data", "domain", "native-host", "accept-region", "tls-listener", "trusted-proxy":
		return true
	}
	return false
}

// edgeOf reads the settings about how the listeners speak.
func edgeOf(k *koanf.Koanf) supervisors.EdgeConfig {
	return supervisors.EdgeConfig{
		TLSCert: k.String("tls-cert"), TLSKey: k.String("tls-key"), TLSListeners: list(k, "tls-listener"),
		NoSignatureV2: !k.Bool("s3-signature-v2"),
		AcceptRegions: list(k, "accept-region"), TrustedProxies: list(k, "trusted-proxy"),
		AccessLog: k.String("access-log"), AccessLogFormat: k.String("access-log-format"),
	}
}

// loadEnvFile reads the file of --env-file or TROUPE_ENV_FILE: variables as in the
// environment, one a line, "#" before comments, quotes around a value taken off. A
// process cannot be given another environment; it can read this again.
func loadEnvFile(k *koanf.Koanf, flags *pflag.FlagSet, known map[string]bool) error {
	path, err := flags.GetString("env-file")
	if err != nil {
		return err
	}
	if path == "" {
		path = k.String("env-file")
	}
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("env-file: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export "))
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("env-file %s: line %d is not NAME=value", path, n) // not shown: it may hold a secret
		}
		setting, ours := strings.CutPrefix(strings.TrimSpace(name), "TROUPE_")
		setting = strings.ReplaceAll(strings.ToLower(setting), "_", "-")
		if !ours || !known[setting] {
			return fmt.Errorf("env-file %s: line %d: there is no setting %s", path, n, strings.TrimSpace(name))
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		var given any = value
		if isList(setting) {
			given = strings.Split(value, ",")
		}
		if err := k.Set(setting, given); err != nil {
			return fmt.Errorf("env-file %s: %s: %w", path, setting, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("env-file %s: %w", path, err)
	}
	return nil
}
