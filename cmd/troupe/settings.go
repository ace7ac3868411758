package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/supervisors"
)

// addSettings defines the flags of a node. Every setting is a flag, but for the
// root key pair and the native token: a secret on a command line is everybody's.
func addSettings(flags *pflag.FlagSet) {
	d := supervisors.Config{}.WithDefaults()
	flags.String("config", "", "file of settings, in YAML")
	flags.String("env-file", "", "file of NAME=value lines that take precedence over the environment; read again on SIGHUP")
	flags.StringSlice("data", nil, "directory of a mountpath; repeatable")
	flags.String("native", d.Native, "HOST:PORT of the native API, metrics, and S3 under /s3")
	flags.String("native-auth", "", "who may use the native API: token (TROUPE_NATIVE_TOKEN), or none to let everybody in; needed beyond loopback")
	flags.StringSlice("native-host", nil, "name by which the native listener is called where it asks for no token, beside addresses, localhost, domain and this machine's name; * for any; repeatable")
	flags.String("s3", d.S3, "HOST:PORT of S3 at the root")
	flags.String("intra", d.Intra, "HOST:PORT for payloads between nodes (opened in a cluster only)")
	flags.String("remote", d.Remote, "HOST:PORT for messages between nodes (opened in a cluster only)")
	flags.String("profile", "", "HOST:PORT of Go's profiles (pprof), loopback only")
	flags.String("seal-key-file", "", "file of the seed under which secrets of users are sealed, at least 32 bytes, the same on all nodes; default: the cluster's secret, or the root secret key")
	flags.String("seal-key-file-before", "", "file of another seed, whose secrets are opened, too, and sealed anew")
	flags.String("region", d.Region, "region that S3 clients are told")
	flags.StringSlice("accept-region", d.Edge.AcceptRegions, "region that S3 signatures may be for, beside the region; * for any; repeatable")
	flags.StringSlice("domain", d.Domains, "base domain of virtual-host style requests; repeatable")
	flags.String("memory", "1GiB", "memory that the node may use, at least 64MiB")
	flags.Bool("s3-signature-v2", true, "take requests that are signed with Signature Version 2, too")
	flags.String("min-part", "5MiB", "least size of a part that is not the last")
	flags.String("reserve", "1GiB,2%", "kept free on each mountpath: SIZE, SHARE%, or the smaller of both")
	flags.String("history", "256MiB,1%,30d", "history of objects on each mountpath: at most SIZE and SHARE%, for AGE such as 30d or 12h; off: none is recorded")
	flags.Int("scrub-days", d.ScrubDays, "within so many days every byte stored is read and verified; 0 for never")
	flags.String("inline", "32KiB", "largest payload that is kept in the index, at most 64KiB")
	addClusterSettings(flags)
	flags.Int("max-connections", d.MaxConnections, "connections of each listener at a time")
	flags.Int("quarantine-panics", d.Quarantine.Panics, "after so many panics a key, a bucket or a job is refused until it is released; 0 for never")
	flags.Duration("quarantine-within", d.Quarantine.Within, "time within which these panics count")
	addEdgeSettings(flags)
	flags.Bool(faultsSetting, false, "let who signs with the root pair break parts of the node on purpose, for a while (troupe fault)")
	flags.String("log-level", "", "least level that is logged: debug, info, warning or error; default: as the cluster shares it, or info")
	flags.String("log-format", "text", "form of the log: text or json")
}

// Settings that have no flag.
const (
	rootAccessKey = "root-access-key"
	rootSecretKey = "root-secret-key"
	nativeToken   = "native-token"
)

// loadSettings reads the settings from file, environment and flags, in this
// order: the later wins. An unknown or wrong setting is an error that names it
// and says what it accepts.
func loadSettings(flags *pflag.FlagSet) (supervisors.Config, error) {
	none := supervisors.Config{}
	k := koanf.New("\x00") // names have no parts
	known := map[string]bool{rootAccessKey: true, rootSecretKey: true, nativeToken: true}
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden { // those of `troupe prove`, which no file and no environment can set
			known[f.Name] = true
		}
	})
	delete(known, "help")

	path, err := flags.GetString("config")
	if err != nil {
		return none, err
	}
	if path == "" {
		path = os.Getenv("TROUPE_CONFIG")
	}
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return none, fmt.Errorf("config %s: %w", path, err)
		}
		if unknown := unknownNames(k, known); len(unknown) > 0 {
			return none, fmt.Errorf("config %s: no such setting: %s; there are: %s", path, strings.Join(unknown, ", "), strings.Join(names(known), ", "))
		}
	}
	environment := env.Provider("\x00", env.Opt{Prefix: "TROUPE_", TransformFunc: func(name, value string) (string, any) {
		name = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "TROUPE_")), "_", "-")
		if !known[name] {
			return "", nil // clients of Troupe have variables of their own
		}
		if isList(name) {
			return name, strings.Split(value, ",")
		}
		return name, value
	}})
	if err := k.Load(environment, nil); err != nil {
		return none, fmt.Errorf("environment: %w", err)
	}
	if err := loadEnvFile(k, flags, known); err != nil {
		return none, err
	}
	if err := k.Load(posflag.Provider(flags, "\x00", k), nil); err != nil {
		return none, fmt.Errorf("flags: %w", err)
	}
	return settingsOf(k)
}

// settingsOf turns what was loaded into a configuration.
func settingsOf(k *koanf.Koanf) (supervisors.Config, error) {
	var faults []error
	size := func(name string) int64 {
		n, err := parseSize(k.String(name))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
		if n == 0 {
			return -1 // given as nothing, which is no default: Validate says what is accepted
		}
		return n
	}
	duration := func(name string) time.Duration {
		d, err := time.ParseDuration(k.String(name))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is not a duration such as 90s, 5m or 1h", name, k.String(name)))
		}
		return d
	}
	reserve, err := parseReserve(k.String("reserve"))
	if err != nil {
		faults = append(faults, err)
	}
	history, err := parseHistory(k.String("history"))
	if err != nil {
		faults = append(faults, err)
	}
	log, err := newLog(k.String("log-level"), k.String("log-format"))
	if err != nil {
		faults = append(faults, err)
	}
	giveUpAfter, err := supervisors.ParseGiveUpAfter(k.String("give-up-after"))
	if err != nil {
		faults = append(faults, fmt.Errorf("give-up-after: %w", err))
	}
	connections, err := strconv.Atoi(k.String("max-connections"))
	if err != nil {
		faults = append(faults, fmt.Errorf("max-connections: %q is not a whole number", k.String("max-connections")))
	}
	if connections == 0 {
		connections = -1 // likewise
	}
	desk, err := newFaultDesk(k.String(faultsSetting), log)
	if err != nil {
		faults = append(faults, err)
	}
	panics, err := strconv.Atoi(k.String("quarantine-panics"))
	switch {
	case err != nil || panics < 0:
		faults = append(faults, fmt.Errorf("quarantine-panics: %q is not a whole number of at least 0", k.String("quarantine-panics")))
	case panics == 0:
		panics = -1 // never
	}
	scrubDays, err := strconv.Atoi(k.String("scrub-days"))
	switch {
	case err != nil || scrubDays < 0:
		faults = append(faults, fmt.Errorf("scrub-days: %q is not a whole number of at least 0", k.String("scrub-days")))
	case scrubDays == 0:
		scrubDays = -1 // never
	}
	within := duration("quarantine-within")
	if within == 0 {
		within = -1 // given as nothing, which is no default
	}
	config := supervisors.Config{
		Version: version, Quarantine: supervisors.QuarantineLimits{Panics: panics, Within: within},
		Data: list(k, "data"), Native: k.String("native"), S3: k.String("s3"), Intra: k.String("intra"), Remote: k.String("remote"),
		Profile:    k.String("profile"),
		NativeAuth: k.String("native-auth"), NativeToken: k.String(nativeToken), NativeHosts: list(k, "native-host"),
		RootAccessKey: k.String(rootAccessKey), RootSecretKey: k.String(rootSecretKey),
		SealKeyFile: k.String("seal-key-file"), SealKeyFileBefore: k.String("seal-key-file-before"),
		RootOverlap: duration("root-overlap"), Edge: edgeOf(k),
		Region: k.String("region"), Domains: list(k, "domain"),
		MemoryBytes: size("memory"), MinPartBytes: size("min-part"), InlineBytes: int(size("inline")), MaxConnections: connections,
		Reserve: reserve, History: history, ScrubDays: scrubDays, Cluster: clusterOf(k, giveUpAfter),
		Log: log, LogLevel: k.String("log-level"), Faults: desk,
	}
	if err := errors.Join(faults...); err != nil {
		return supervisors.Config{}, err
	}
	return config, config.WithDefaults().Validate()
}

// list reads a setting that may be a list or one value.
func list(k *koanf.Koanf, name string) []string {
	if values := k.Strings(name); len(values) > 0 {
		return values
	}
	if one := k.String(name); one != "" && one != "[]" {
		return strings.Split(one, ",")
	}
	return nil
}

func unknownNames(k *koanf.Koanf, known map[string]bool) []string {
	var unknown []string
	for _, name := range k.Keys() {
		if top, _, _ := strings.Cut(name, "\x00"); !known[top] {
			unknown = append(unknown, top)
		}
	}
	return unknown
}

func names(known map[string]bool) []string {
	var list []string
	for name := range known {
		if name != "config" {
			list = append(list, name)
		}
	}
	sort.Strings(list)
	return list
}

// parseSize reads a number of bytes: "1048576", "64KiB", "5MB", "1g".
func parseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz ")
	unit := strings.TrimSpace(text[len(digits):])
	multiplier := map[string]int64{
		"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "kb": 1000, "m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
		"g": 1 << 30, "gib": 1 << 30, "gb": 1e9, "t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
	}[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || multiplier == 0 || n < 0 || n > (1<<62)/max(multiplier, 1) {
		return 0, fmt.Errorf("%q is not a size such as 64KiB, 5MiB or 1GiB", s)
	}
	return n * multiplier, nil
}

// parseReserve reads what is kept free: "10GiB", "5%", or the smaller of both,
// "1GiB,2%".
func parseReserve(s string) (supervisors.Reserve, error) {
	var r supervisors.Reserve
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		var err error
		if digits, share := strings.CutSuffix(part, "%"); share && r.Percent == 0 {
			if r.Percent, err = strconv.ParseFloat(digits, 64); err == nil && !(r.Percent > 0) {
				err = errors.New("not above 0")
			}
		} else if r.Bytes == 0 {
			if r.Bytes, err = parseSize(part); err == nil && r.Bytes == 0 {
				err = errors.New("not above 0")
			}
		} else {
			err = errors.New("given twice")
		}
		if err != nil {
			return supervisors.Reserve{}, fmt.Errorf("reserve: %q is neither a size above 0 nor a share such as 5%%, nor both (1GiB,2%%)", s)
		}
	}
	return r, nil
}

// parseHistory reads how much history is kept: "off", or of a size, a share and an age
// those that bound it, "256MiB,1%,30d".
func parseHistory(s string) (supervisors.History, error) {
	var h supervisors.History
	if strings.TrimSpace(s) == "off" {
		return supervisors.History{Off: true, Age: supervisors.Config{}.WithDefaults().History.Age}, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		if err := parseHistoryBound(&h, strings.TrimSpace(part)); err != nil {
			return supervisors.History{}, fmt.Errorf("history: %q: %q is %w; give a size, a share and an age, each once at the most (256MiB,1%%,30d), or off", s, part, err)
		}
	}
	return h, nil
}

// parseHistoryBound reads one bound: "256MiB", "1%", "30d" or "12h".
func parseHistoryBound(h *supervisors.History, part string) error {
	var err error
	if digits, share := strings.CutSuffix(part, "%"); share {
		if h.Percent != 0 {
			return errors.New("given twice")
		}
		if h.Percent, err = strconv.ParseFloat(digits, 64); err != nil || !(h.Percent > 0) {
			return errors.New("no share above 0")
		}
		return nil
	}
	if age, ok := parseAge(part); ok {
		if h.Age != 0 {
			return errors.New("given twice")
		}
		h.Age = age
		return nil
	}
	if h.Bytes != 0 {
		return errors.New("given twice")
	}
	if h.Bytes, err = parseSize(part); err != nil || h.Bytes == 0 {
		return errors.New("no size above 0")
	}
	return nil
}

// parseAge reads days, "30d", or a duration; false: it is neither. "5m" is five minutes,
// and no size.
func parseAge(s string) (time.Duration, bool) {
	if digits, days := strings.CutSuffix(s, "d"); days {
		n, err := strconv.ParseUint(digits, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil && n > 0
	}
	age, err := time.ParseDuration(s)
	return age, err == nil && age > 0
}

// newLog makes the node's log, to standard error.
func newLog(level, format string) (*logrus.Logger, error) {
	log := logrus.New()
	parsed, err := logrus.ParseLevel(cmp.Or(level, "info"))
	if err != nil {
		return nil, fmt.Errorf("log-level: %q is none of debug, info, warning, error", level)
	}
	log.SetLevel(parsed)
	switch format {
	case "text":
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	default:
		return nil, fmt.Errorf("log-format: %q is neither text nor json", format)
	}
	return log, nil
}
