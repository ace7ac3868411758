package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/supervisors"
)

// load reads settings as the command does; environment variables are "NAME=value".
func load(t *testing.T, file string, environment []string, arguments ...string) (supervisors.Config, error) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "TROUPE_") {
			t.Setenv(name, "") // put back at the end
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	if file != "" {
		path := filepath.Join(t.TempDir(), "troupe.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, "--config", path)
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	addSettings(flags)
	addTrial(flags)
	if err := flags.Parse(arguments); err != nil {
		t.Fatal(err)
	}
	return loadSettings(flags)
}

// A flag wins over the environment, which wins over the file; what none of them
// says has its default.
func TestTheLaterSourceWins(t *testing.T) {
	const file = "data: [/a, /b]\ns3: 127.0.0.1:1\nnative: 127.0.0.1:2\nregion: from-file\nmemory: 2GiB\nroot-access-key: someone\nroot-secret-key: a-long-secret\n"
	config, err := load(t, file, []string{"TROUPE_S3=127.0.0.1:3", "TROUPE_NATIVE=127.0.0.1:4"}, "--native", "127.0.0.1:5")
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]string{
		"data":   {strings.Join(config.Data, ","), "/a,/b"},
		"s3":     {config.S3, "127.0.0.1:3"},
		"native": {config.Native, "127.0.0.1:5"},
		"intra":  {config.Intra, "127.0.0.1:8082"},
		"region": {config.Region, "from-file"},
		"key":    {config.RootAccessKey + "/" + config.RootSecretKey, "someone/a-long-secret"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
	if config.MemoryBytes != 2<<30 {
		t.Errorf("memory is %d", config.MemoryBytes)
	}
}

// Directories are given one by one, in a list of the environment, or in the file.
func TestDataIsRepeatable(t *testing.T) {
	config, err := load(t, "", nil, "--data", "/a", "--data", "/b")
	if err != nil || !slices.Equal(config.Data, []string{"/a", "/b"}) {
		t.Errorf("flags: %v, %v", config.Data, err)
	}
	config, err = load(t, "", []string{"TROUPE_DATA=/a", "TROUPE_NATIVE_HOST=store.example,node7"})
	if err != nil || !slices.Equal(config.NativeHosts, []string{"store.example", "node7"}) {
		t.Errorf("names: %v, %v", config.NativeHosts, err)
	}
	config, err = load(t, "", []string{"TROUPE_DATA=/a,/b"})
	if err != nil || !slices.Equal(config.Data, []string{"/a", "/b"}) {
		t.Errorf("environment: %v, %v", config.Data, err)
	}
}

// A node has a fault desk if it is told so, by any of the three, and else none.
func TestFaultsAreOffByDefault(t *testing.T) {
	for _, c := range []struct {
		file        string
		environment []string
		arguments   []string
		want        bool
	}{
		{want: false},
		{arguments: []string{"--faults"}, want: true},
		{environment: []string{"TROUPE_FAULTS=true"}, want: true},
		{file: "faults: true\n", want: true},
		{file: "faults: true\n", arguments: []string{"--faults=false"}, want: false},
	} {
		config, err := load(t, c.file, c.environment, append(c.arguments, "--data", "/a")...)
		if err != nil || (config.Faults != nil) != c.want {
			t.Errorf("%+v: %v, %v", c, config.Faults, err)
		}
	}
}

// A wrong setting names itself and what it accepts; several at once are all told.
func TestAWrongSettingNamesItself(t *testing.T) {
	for _, c := range []struct {
		file        string
		environment []string
		arguments   []string
		want        []string
	}{
		{arguments: nil, want: []string{"data", "--data DIR"}},
		{arguments: []string{"--data", "/a", "--s3", "nonsense"}, want: []string{"s3", "nonsense", "HOST:PORT"}},
		{arguments: []string{"--data", "/a", "--s3", "0.0.0.0:9000"}, want: []string{"s3", "loopback", "TROUPE_ROOT_SECRET_KEY"}},
		{arguments: []string{"--data", "/a", "--intra", "x", "--remote", "y"}, want: []string{"intra", "remote"}},
		{arguments: []string{"--data", "/a", "--memory", "lots"}, want: []string{"memory", "lots", "1GiB"}},
		{arguments: []string{"--data", "/a", "--memory", "1MiB"}, want: []string{"memory", "64 MiB"}},
		{arguments: []string{"--data", "/a", "--min-part", "0"}, want: []string{"min-part", "1 to 5 GiB"}},
		{arguments: []string{"--data", "/a", "--inline", "1MiB"}, want: []string{"inline", "65536"}},
		{arguments: []string{"--data", "/a", "--reserve", "0"}, want: []string{"reserve", "1GiB,2%"}},
		{arguments: []string{"--data", "/a", "--reserve", "much"}, want: []string{"reserve", "1GiB,2%"}},
		{arguments: []string{"--data", "/a", "--reserve", "1%,2%"}, want: []string{"reserve", "1GiB,2%"}},
		{arguments: []string{"--data", "/a", "--reserve", "60%"}, want: []string{"reserve", "0 to 50%"}},
		{arguments: []string{"--data", "/a", "--history", "much"}, want: []string{"history", "much", "256MiB,1%,30d", "off"}},
		{arguments: []string{"--data", "/a", "--history", "1GiB,2GiB"}, want: []string{"history", "2GiB", "given twice"}},
		{arguments: []string{"--data", "/a", "--history", "1%,2%"}, want: []string{"history", "given twice"}},
		{arguments: []string{"--data", "/a", "--history", "1GiB,1d,12h"}, want: []string{"history", "12h", "given twice"}},
		{arguments: []string{"--data", "/a", "--history", "0d"}, want: []string{"history", "0d"}},
		{arguments: []string{"--data", "/a", "--history", "30d"}, want: []string{"history", "a size above 0"}},
		{arguments: []string{"--data", "/a", "--history", "1GiB,5s"}, want: []string{"history", "1m"}},
		{arguments: []string{"--data", "/a", "--history", "60%"}, want: []string{"history", "0 to 50%"}},
		{arguments: []string{"--data", "/a", "--log-level", "loud"}, want: []string{"log-level", "debug"}},
		{environment: []string{"TROUPE_FAULTS=perhaps"}, arguments: []string{"--data", "/a"}, want: []string{"faults", "perhaps", "true nor false"}},
		{arguments: []string{"--data", "/a", "--log-format", "xml"}, want: []string{"log-format", "json"}},
		{arguments: []string{"--data", "/a", "--profile", "0.0.0.0:1"}, want: []string{"profile", "loopback"}},
		{environment: []string{"TROUPE_ROOT_ACCESS_KEY=x"}, arguments: []string{"--data", "/a"}, want: []string{"TROUPE_ROOT_SECRET_KEY"}},
		{environment: []string{"TROUPE_ROOT_ACCESS_KEY=x", "TROUPE_ROOT_SECRET_KEY=short"}, arguments: []string{"--data", "/a"}, want: []string{"at least 8"}},
		{file: "dta: [/a]\n", want: []string{"dta", "data", "no such setting"}},
		{file: "data: [/a\n", want: []string{"config"}},
	} {
		_, err := load(t, c.file, c.environment, c.arguments...)
		if err == nil {
			t.Errorf("%v %q: accepted", c.arguments, c.file)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%v %q: %q does not say %q", c.arguments, c.file, err, word)
			}
		}
	}
}

// With a key pair of one's own the listeners may leave loopback.
func TestOwnKeysMayListenAnywhere(t *testing.T) {
	if _, err := load(t, "", []string{"TROUPE_ROOT_ACCESS_KEY=me", "TROUPE_ROOT_SECRET_KEY=a-long-secret"}, "--data", "/a", "--s3", "0.0.0.0:9000"); err != nil {
		t.Error(err)
	}
}

// How much history is kept is a size, a share and an age, in any order, or nothing.
func TestHistorySetting(t *testing.T) {
	for text, want := range map[string]supervisors.History{
		"256MiB,1%,30d": supervisors.Config{}.WithDefaults().History,
		"12h, 2GiB":     {Bytes: 2 << 30, Age: 12 * time.Hour},
		"0.5%":          {Percent: 0.5},
		"5m,64k":        {Bytes: 64 << 10, Age: 5 * time.Minute}, // minutes, as everywhere a time may be
		"off":           {Off: true, Age: 30 * 24 * time.Hour},
	} {
		config, err := load(t, "", nil, "--data", "/a", "--history", text)
		if err != nil || config.History != want {
			t.Errorf("%q: %+v, %v, want %+v", text, config.History, err, want)
		}
	}
	if config, err := load(t, "", nil, "--data", "/a"); err != nil || config.History.Off || config.History.Bytes == 0 {
		t.Errorf("by default: %+v, %v", config.History, err)
	}
}

// Sizes are read as people write them.
func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1048576": 1 << 20, "64KiB": 64 << 10, "5 MiB": 5 << 20, "1g": 1 << 30, "2MB": 2e6, "1TiB": 1 << 40} {
		if n, err := parseSize(text); n != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5GiB", "1XB", "99999999999999999999", "9999999TiB"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, n)
		}
	}
}

// A node joins a cluster with an agent, a name and a secret; what is missing is named,
// and so is what makes no sense without a cluster.
func TestClusterSettings(t *testing.T) {
	data := []string{"--data", "/a"}
	secret := "TROUPE_CLUSTER_SECRET=0123456789abcdef0123456789abcdef"
	config, err := load(t, "consul-token-file: /etc/token\n", []string{secret}, append(data, "--consul", "127.0.0.1:8500", "--cluster", "east")...)
	if err != nil || config.Cluster.Name != "east" || config.Cluster.Consul != "127.0.0.1:8500" || config.Cluster.TokenFile != "/etc/token" || len(config.Cluster.Secret) != 32 {
		t.Errorf("%+v, %v", config.Cluster, err)
	}
	for _, test := range []struct {
		environment []string
		arguments   []string
		want        string
	}{
		{nil, []string{"--consul", "127.0.0.1:8500", "--cluster", "east"}, "cluster-secret-file: nodes of a cluster know each other by a secret"},
		{[]string{secret}, []string{"--cluster", "east"}, "consul: it is not set, and cluster is"},
		{[]string{secret}, []string{"--consul", "127.0.0.1:8500"}, "cluster: it is not set, and consul is"},
		{[]string{secret}, []string{"--consul", "ftp://x", "--cluster", "east"}, "consul: "},
		{[]string{secret}, []string{"--consul", "127.0.0.1:8500", "--cluster", "no blanks"}, "is not a name of 1 to 63"},
		{[]string{secret}, []string{"--consul", "127.0.0.1:8500", "--cluster", "east", "--cluster-secret-file", "/x"}, "given twice"},
		{[]string{"TROUPE_CLUSTER_SECRET=short"}, []string{"--consul", "127.0.0.1:8500", "--cluster", "east"}, "it has 5 bytes; at least 16"},
		{[]string{secret}, []string{"--consul", "127.0.0.1:8500", "--cluster", "east", "--intra", "0.0.0.0:8082"}, "advertise: it is not set"},
		{nil, []string{"--advertise", "10.0.0.7"}, "joins no cluster"},
	} {
		_, err := load(t, "", test.environment, append(data, test.arguments...)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.arguments, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%v: the error shows the secret", test.arguments)
		}
	}
}

// What only `troupe prove` asks of a node can be asked on the command line alone: neither a
// file nor the environment makes a node record its disks, and help does not name it.
func TestATrialIsNoSetting(t *testing.T) {
	if _, err := load(t, "data: [/a]\n"+trialJournal+": /tmp/journal\n", nil); err == nil || !strings.Contains(err.Error(), "no such setting") {
		t.Errorf("in a file: %v", err)
	}
	t.Setenv("TROUPE_TRIAL_JOURNAL", "/tmp/journal")
	command := serveCommand()
	if err := command.ParseFlags([]string{"--data", "/a"}); err != nil {
		t.Fatal(err)
	}
	config, err := loadSettings(command.Flags())
	if err != nil || config.Trial != (supervisors.Trial{}) || command.Flag(trialJournal).Value.String() != "" {
		t.Errorf("in the environment: %+v, %v", config.Trial, err)
	}
	if usage := command.UsageString(); strings.Contains(usage, "trial") || !strings.Contains(usage, "--data") {
		t.Errorf("help says %s", usage)
	}
	if err := command.ParseFlags([]string{"--" + trialJournal, "/tmp/journal"}); err != nil || command.Flag(trialJournal).Value.String() != "/tmp/journal" {
		t.Errorf("negative control: on the command line it is %q, %v", command.Flag(trialJournal).Value, err)
	}
}
