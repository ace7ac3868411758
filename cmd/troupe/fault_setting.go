package main

import (
	"fmt"
	"strconv"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// faultsSetting is the setting that gives a node its fault desk.
const faultsSetting = "faults"

// newFaultDesk makes the node's fault desk; nil: the setting is off.
func newFaultDesk(setting string, log *logrus.Logger) (*faults.Desk, error) {
	on, err := strconv.ParseBool(setting)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %q is neither true nor false", faultsSetting, setting)
	case !on || log == nil: // a log that cannot be made is refused elsewhere
		return nil, nil
	}
	return faults.New(faults.Options{Log: logrus.NewEntry(log), Awake: supervisors.Awake}), nil
}
