package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/troupe-storage/troupe/api/sigv4"
)

// profile is what the files of the AWS command line say under one name.
type profile struct {
	name     string
	keys     sigv4.Credentials
	region   string
	endpoint string
	caFile   string
	// elsewhere names the setting by which the keys come from somewhere that is
	// not a file (sso_session, role_arn, credential_process); empty: none does.
	elsewhere string
}

// readProfile reads a profile from ~/.aws/credentials and ~/.aws/config, or where
// AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE say; found is false if neither
// has it. Format: "Configuration and credential file settings" of the AWS CLI.
func readProfile(p Program, name string) (found profile, ok bool, err error) {
	found.name = name
	read := func(variable, file, section string) error {
		path := p.Getenv(variable)
		if path == "" {
			home := p.Getenv("HOME")
			if home == "" {
				return nil
			}
			path = filepath.Join(home, ".aws", file)
		}
		settings, there, err := readSection(path, section)
		if err != nil || !there {
			return err
		}
		ok = true
		found.take(settings)
		return nil
	}
	section := "profile " + name
	if name == "default" {
		section = name
	}
	// The credentials file is read last: its keys win over those of the other.
	return found, ok, errors.Join(
		read("AWS_CONFIG_FILE", "config", section),
		read("AWS_SHARED_CREDENTIALS_FILE", "credentials", name))
}

// take keeps the settings that matter here.
func (f *profile) take(settings map[string]string) {
	set := func(to *string, names ...string) {
		for _, name := range names {
			if v := settings[name]; v != "" {
				*to = v
			}
		}
	}
	if settings["aws_access_key_id"] != "" { // a pair stays a pair
		f.keys = sigv4.Credentials{}
	}
	set(&f.keys.AccessKey, "aws_access_key_id")
	set(&f.keys.SecretKey, "aws_secret_access_key")
	set(&f.keys.SessionToken, "aws_session_token")
	set(&f.region, "region")
	set(&f.endpoint, "endpoint_url", "s3.endpoint_url")
	set(&f.caFile, "ca_bundle")
	for _, name := range []string{"sso_session", "sso_start_url", "role_arn", "credential_process"} {
		if settings[name] != "" {
			f.elsewhere = name
		}
	}
}

// readSection reads one section of an INI file as the AWS command line writes it;
// a nested setting is named outer.inner. A file that is not there has no sections.
func readSection(path, section string) (settings map[string]string, found bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	settings = map[string]string{}
	inside, outer := false, ""
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case text[0] == '[':
			name, _, closed := strings.Cut(text[1:], "]")
			if !closed {
				return nil, false, fmt.Errorf("%s, line %d: a section without ]", path, number)
			}
			inside = strings.Join(strings.Fields(name), " ") == section
			found, outer = found || inside, ""
			continue
		case !inside:
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, false, fmt.Errorf("%s, line %d: neither NAME = VALUE nor a section", path, number)
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch nested := line[0] == ' ' || line[0] == '\t'; {
		case nested && outer != "":
			settings[outer+"."+name] = value
		default:
			settings[name] = value
			outer = ""
			if value == "" {
				outer = name
			}
		}
	}
	return settings, found, lines.Err()
}
