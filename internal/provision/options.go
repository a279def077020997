package provision

// LaunchOptions say what a launch asks for, in a request or in a launch template, that would
// make another machine than the one that is made here.
type LaunchOptions struct {
	CapacityReservation bool // one of a caller's choice, or none but reserved capacity
	ElasticGPU          bool
	Accelerator         bool // for elastic inference
	Licence             bool
	Hibernation         bool
	Enclave             bool
	CPUs                bool // others than the type's
	Kernel              bool // or a RAM disk
	DedicatedHost       bool // or tenancy
	Partition           bool // of a placement group
}

// Check refuses what is asked for, by its name.
func (o LaunchOptions) Check() error {
	for _, ask := range []struct {
		what string
		is   bool
	}{
		{"A dedicated host", o.DedicatedHost},
		{"A partition of a placement group", o.Partition},
		{"A capacity reservation", o.CapacityReservation},
		{"An elastic GPU", o.ElasticGPU},
		{"An elastic inference accelerator", o.Accelerator},
		{"A licence configuration", o.Licence},
		{"Hibernation", o.Hibernation},
		{"An enclave", o.Enclave},
		{"Changing an instance type's CPUs", o.CPUs},
		{"A kernel or RAM disk", o.Kernel},
	} {
		if ask.is {
			return unsupported(ask.what)
		}
	}
	return nil
}

// CheckInterfaceType refuses interfaces that are none of a machine's here.
func CheckInterfaceType(kind string, card int32) error {
	switch {
	case kind != "" && kind != "interface":
		return unsupported("The interface type " + kind)
	case card != 0:
		return unsupported("A second network card")
	}
	return nil
}

// unsupported is the answer to what EC2 has and is not here.
func unsupported(what string) error {
	return fault("UnsupportedOperation", "%s is not supported yet.", what)
}
