package provision

import (
	"time"

	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Stop asks an instance to stop and returns the state that it was in. Package
// controller/instance ends the machine, whose disk stays, and calls Stopped.
func Stop(tx *store.Tx, home resource.Home, id string, now time.Time) (previous string, err error) {
	i, err := LookupInstance(tx, home, id)
	if err != nil {
		return "", err
	}
	switch previous = i.Current(); previous {
	case resource.InstanceStopping, resource.InstanceStopped:
		return previous, nil
	case resource.InstancePending, resource.InstanceRunning:
	default:
		return "", fault("IncorrectInstanceState", "This instance '%s' is not in a state from which it can be stopped.", id)
	}
	if i.Spec.StopProtection {
		return "", fault("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", id)
	}
	if i.Spec.Lifecycle == "spot" {
		return "", fault("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.", id)
	}
	i.Spec.Off, i.Asked = true, now
	i.Status.State = resource.InstanceStopping
	i.Status.StateCode = "Client.UserInitiatedShutdown"
	i.Status.StateReason = "Client.UserInitiatedShutdown: User initiated shutdown"
	tx.Instances.Put(id, i)
	return previous, nil
}

// ShutDown records that somebody on an instance has shut it down: it is to stop, or to go, as
// its InstanceInitiatedShutdownBehavior says. A Spot instance goes, since its one-time request
// could not start it again. Protection is from the API's calls alone.
func ShutDown(tx *store.Tx, id string, now time.Time) {
	const code, reason = "Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
	i, ok := tx.Instances.Get(id)
	switch {
	case !ok || i.Spec.Off || i.Terminating:
	case i.Spec.ShutdownBehavior == "terminate" || i.Spec.Lifecycle == Spot:
		terminate(tx, i, code, reason, now)
	default:
		i.Spec.Off = true
		i.Status.State, i.Status.StateCode, i.Status.StateReason = resource.InstanceStopping, code, reason
		tx.Instances.Put(id, i)
	}
}

// Stopped records that the machine of an instance that was asked to stop has ended. A
// public address that is not elastic goes back to the pool.
func Stopped(tx *store.Tx, id string) {
	i, ok := tx.Instances.Get(id)
	if !ok || !i.Spec.Off || i.Terminating {
		return
	}
	for _, eni := range InterfacesOf(tx, id) {
		if eni.PublicIP != "" && eni.Elastic == "" {
			eni, _ = tx.Interfaces.Get(eni.ID)
			eni.PublicIP = ""
			tx.Interfaces.Put(eni.ID, eni)
		}
	}
	i.Status.State, i.Status.Waiting = resource.InstanceStopped, ""
	tx.Instances.Put(id, i)
}

// Start asks a stopped instance to start again and returns the state that it was in.
func Start(tx *store.Tx, home resource.Home, id string, now time.Time) (previous string, err error) {
	i, err := LookupInstance(tx, home, id)
	if err != nil {
		return "", err
	}
	switch previous = i.Current(); previous {
	case resource.InstancePending, resource.InstanceRunning:
		return previous, nil
	case resource.InstanceStopped:
	default:
		return "", fault("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", id)
	}
	if t, ok := instancetype.Lookup(i.Spec.Type); ok {
		if err := checkVCPU(tx, home, t, or(i.Spec.Lifecycle, OnDemand)); err != nil {
			return "", err
		}
		if err := checkCapacity(tx, home, t, i.Spec.Zone, or(i.Spec.Lifecycle, OnDemand)); err != nil {
			return "", err
		}
	}
	for _, eni := range InterfacesOf(tx, id) {
		if !eni.AutoPublic || eni.PublicIP != "" {
			continue
		}
		ip, err := publicAddress(tx)
		if err != nil {
			return "", err
		}
		eni, _ = tx.Interfaces.Get(eni.ID)
		eni.PublicIP = ip.String()
		tx.Interfaces.Put(eni.ID, eni)
	}
	i.Spec.Off, i.Launched, i.Asked = false, now, time.Time{}
	i.Status.State, i.Status.StateCode, i.Status.StateReason = resource.InstancePending, "", ""
	i.Status.Generation++
	tx.Instances.Put(id, i)
	return previous, nil
}

// Reboot asks for one more boot of a running instance.
func Reboot(tx *store.Tx, home resource.Home, id string) error {
	i, err := LookupInstance(tx, home, id)
	if err != nil {
		return err
	}
	if s := i.Current(); s != resource.InstanceRunning && s != resource.InstancePending {
		return fault("IncorrectState", "Instance '%s' is not in a state from which it can be rebooted: %s", id, s)
	}
	i.Spec.Reboots++
	tx.Instances.Put(id, i)
	return nil
}
